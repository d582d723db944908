// Manifests against the OpenAPI schemas of Kubernetes, from the package kubernetes-models, which is made from them: its validators know
// types, formats and what is required, its TypeScript types know which fields there are at all.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { parseAllDocuments } from 'yaml'

export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string, labels?: Record<string, string> }
  [field: string]: any
}

const root = new URL('../../', import.meta.url)
const require = createRequire(import.meta.url)

/** What `kubectl kustomize` makes of a folder of examples/kubernetes. */
export function render (folder: string): Manifest[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [
    fileURLToPath(new URL('scripts/kubectl.js', root)), 'kustomize', fileURLToPath(new URL(`examples/kubernetes/${folder}`, root))
  ], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`kubectl kustomize ${folder}: ${stderr}`)
  return parseAllDocuments(stdout).map(document => document.toJS())
}

/** What is wrong with these manifests; empty: nothing. */
export function problems (manifests: Manifest[]): string[] {
  return [...manifests.flatMap(wrongValues), ...unknownFields(manifests)]
}

function wrongValues (manifest: Manifest): string[] {
  try {
    const { [manifest.kind]: Model } = require(moduleOf(manifest))
    new Model(manifest).validate()
    return []
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`]
  }
}

// The compiler complains of a member of an object literal that its type does not have, and names the one that was meant.
function unknownFields (manifests: Manifest[]): string[] {
  const file = fileURLToPath(new URL('test/manifests-as-literals.ts', root))
  const text = manifests.map((manifest, i) =>
    `import type { I${manifest.kind} as Kind${i} } from '${moduleOf(manifest)}'\nexport const manifest${i}: Kind${i} = ${JSON.stringify(manifest)}\n`).join('')
  const options: ts.CompilerOptions = {
    noEmit: true, strict: true, skipLibCheck: true, types: [], module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2023
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists } = host
  host.fileExists = name => name === file || fileExists.call(host, name)
  host.getSourceFile = (name, version, ...rest) => name === file ? ts.createSourceFile(name, text, version) : getSourceFile.call(host, name, version, ...rest)
  return ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))
}

function moduleOf ({ apiVersion, kind }: Manifest): string {
  return `kubernetes-models/${apiVersion}/${kind}`
}
