import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { scripts, name, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

type Check = (args: string[], folder: string) => string | null

const exists = (folder: string, path: string): string | null => existsSync(join(root, folder, path)) ? null : `${path} does not exist`
const isAmong = (words: string[]): Check => ([word = '']) => words.includes(word) ? null : `${word} is not expected here`
const fine: Check = () => null

/** What is wrong with the arguments of a command on a page of this folder, or `null`. */
const commands: Record<string, Check> = {
  npm ([command = '', ...args], folder) {
    if (command === 'run') {
      const [script = '', file] = args
      if (!(script in scripts)) return `there is no script ${script}`
      return script === 'example' ? exists('', file ?? '') : null
    }
    if (command === 'test') return null
    const unknown = args.filter(each => each !== 'fastify' && each !== name && !(each in peerDependencies))
    return command === 'install' && unknown.length === 0 ? null : `npm ${command} ${unknown}`
  },
  npx: isAmong(['tsc']),
  cp: (args, folder) => args.slice(0, -1).map(file => exists(folder, file)).find(each => each !== null) ?? null,
  kubectl ([command = '', ...args], folder) {
    if (command === 'rollout') return isAmong(['restart'])(args, folder)
    return command === 'apply' && args[0] === '-k' ? exists(folder, join(args[1] ?? '', 'kustomization.yaml')) : `kubectl ${command}`
  },
  docker: ([command = ''], folder) => command === 'build' ? exists(folder, 'Dockerfile') : isAmong(['push'])([command], folder),
  systemctl: isAmong(['restart', 'daemon-reload', 'enable', 'show']),
  'systemd-analyze': isAmong(['verify']),
  prometheus: args => args.every(each => /^--(config\.file|web\.listen-address)=/.test(each)) ? null : args.join(' '),
  node: fine,
  kill: ([signal = '']) => /^-[A-Z]+\d?$/.test(signal) ? null : signal,
  ss: fine,
  curl: fine,
  journalctl: fine,
  sleep: fine,
  echo: fine
}

/** What is wrong with a block of shell commands: what the shell cannot read, and commands that are not there. */
export function wrongCommands (code: string, page: string): string[] {
  const { status, stderr } = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' })
  if (status !== 0) return [stderr]
  const simple = code.split('\n').flatMap(line => line.replace(/(^|\s)#.*$/, '').split(/&&|;|&|\|/))
  return simple.map(each => each.trim().replace(/^(while|do) +/, '')).filter(each => each !== '' && each !== 'done').flatMap(each => {
    const [command = '', ...args] = each.split(/\s+/)
    const check = commands[command]
    const wrong = check === undefined ? 'this command is not known here' : check(args, dirname(page))
    return wrong === null ? [] : [`${page}: ${each}: ${wrong}`]
  })
}

/** The scripts of package.json that a text names, and that are not there. */
export function unknownScripts (text: string): string[] {
  return [...text.matchAll(/npm run ([a-z][\w:-]*)/g)].map(([, script = '']) => script).filter(script => !(script in scripts))
}
