// Runs an example on any Node line: `npm run example examples/basic.ts`. From Node 22.18 on, `node examples/basic.ts` does.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { root } from './toolchain.js'

const [file] = process.argv.slice(2)
if (file === undefined) {
  console.error('Say which example: npm run example examples/basic.ts')
  process.exit(1)
}

const { default: ts } = await import('typescript')
const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
})
const folder = join(root, 'dist', 'examples')
mkdirSync(folder, { recursive: true })
const script = join(folder, basename(file).replace(/\.ts$/, '.js'))
writeFileSync(script, outputText)

const child = spawn(process.execPath, [script], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 0 : 1)))
