import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const fixtures = join(root, 'test', 'fixtures', 'consumer')
const { devDependencies, name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** What npm says of a package that it has packed. */
export interface Packed {
  /** The path of the tarball. */
  tarball: string
  unpackedSize: number
  files: Array<{ path: string, size: number }>
}

export interface Ran { code: number, stdout: string, stderr: string }

/**
 * The environment of a user at a shell, where `node` is the one that runs this test: nothing of tap's loaders, nor of the npm that
 * may have started the suite.
 */
export function userEnv (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_(lifecycle|package|config_local_prefix)|TAP_|NODE_OPTIONS$|KUBERNETES_)/.test(name))
  return { ...Object.fromEntries(own), PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`, ...more }
}

/** Runs a command in a folder to its end, whatever that is. */
export async function runIn (cwd: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  try {
    return { code: 0, ...await promisify(execFile)(command, args, { cwd, env: userEnv(env), maxBuffer: 2 ** 24 }) }
  } catch (error) {
    const { code, stdout, stderr } = error as Ran
    if (typeof code !== 'number') throw error
    return { code, stdout, stderr }
  }
}

/** A new folder, outside of this project, so that nothing is found in its node_modules; removed on teardown. */
export function newFolder (t: { teardown (fn: () => unknown): void }): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Packs the project as `npm publish` would. The build has to be there. */
export async function pack (folder: string): Promise<Packed> {
  const { code, stdout, stderr } = await runIn(root, 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder])
  if (code !== 0) throw new Error(`npm pack: ${stderr}`)
  const [{ filename, ...packed }] = JSON.parse(stdout)
  return { ...packed, tarball: join(folder, filename) }
}

/** Has npm install packages into a new project, in the versions that this project is developed with; resolves with what npm said. */
export async function install (folder: string, tarball: string, { packages = [], flags = [] }: { packages?: string[], flags?: string[] } = {}): Promise<Ran> {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', version: '1.0.0', private: true }))
  const versions = packages.map(each => each in devDependencies ? `${each}@${devDependencies[each]}` : each)
  const ran = await runIn(folder, 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...flags, tarball, ...versions])
  if (ran.code !== 0) throw new Error(`npm install: ${ran.stderr}`)
  return ran
}

/** A part of a project, which finds what is installed in the folder above it. */
export function project (parent: string, name: string, files: string[], manifest: object = {}): string {
  const folder = join(parent, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, ...manifest }))
  for (const file of files) cpSync(join(fixtures, file), join(folder, file))
  return folder
}

export interface Compilation {
  folder: string
  files: string[]
  /** As in a tsconfig.json. */
  options: Record<string, unknown>
}

export interface Compiled {
  /** How many files were looked through, the declarations of this package among them. */
  checked: number
  /** What is wrong, as tsc says it. */
  text: string
}

/** Has TypeScript look through files of projects, and through the declarations of this package, strictly. */
export async function compile (compilations: Compilation[]): Promise<Compiled[]> {
  const argument = JSON.stringify({ packageName: name, typeRoots: [join(root, 'node_modules/@types')], compilations })
  const { code, stdout, stderr } = await runIn(root, process.execPath, [fileURLToPath(new URL('compile.js', import.meta.url)), argument])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
