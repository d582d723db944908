import { basename } from 'node:path'
import { argumentsOf, parentOf } from './os/proc.ts'

/** How processes are seen: those above this one, by their ids. */
export interface Processes {
  readonly ppid: number
  /** Somebody has started this process at a terminal, where Ctrl+C reaches all of them. */
  readonly isInTerminal: boolean
  argumentsOf (pid: number): string[]
  parentOf (pid: number): number | null
}

export const processes: Processes = {
  get ppid () { return process.ppid },
  get isInTerminal () { return process.stdin.isTTY === true },
  argumentsOf,
  parentOf
}

// Two of them in a row are common: the shell that a container has, and the one that npm starts.
const shellsAtMost = 3

/** Why the signals that end this process do not reach it, and what to do; `null`: nothing is known against it. */
export function whySignalsAreLost (processes: Processes): string | null {
  if (processes.isInTerminal) return null
  let pid: number | null = processes.ppid
  let isInShell = false
  for (let i = 0; i <= shellsAtMost && pid !== null; i++) {
    const args = processes.argumentsOf(pid)
    const manager = managerIn(args)
    if (manager !== null) return `${manager} has started this process: SIGTERM goes to it and to the shell between, and often ends them and not this process; ${instead}`
    const isShell = runsCommand(args)
    const parent: number | null = processes.parentOf(pid)
    if (isShell && pid === 1) return `process 1 is a shell, which passes no signal on, so SIGTERM does not reach this process, and it is killed without a drain; ${instead}`
    // It ends at SIGTERM, then its init, and with that the container.
    if (!isShell && isInShell && pid === 1 && isInit(args)) return `a shell is between ${nameOf(args)} and this process: SIGTERM ends the shell, and then the container, without a drain; ${instead}`
    if (!isShell) return null
    isInShell = true
    pid = parent
  }
  return null
}

const instead = 'start it with node itself (in a Dockerfile CMD ["node", "server.js"]), or put exec in front of node in the script'

const managers = ['npm', 'npx', 'yarn', 'pnpm']
const shells = ['sh', 'ash', 'bash', 'dash', 'zsh', 'ksh', 'busybox']
const inits = ['tini', 'docker-init', 'dumb-init', 'catatonit']

// npm calls itself "npm start"; others are a script that node runs.
function managerIn ([program = '', script = '']: string[]): string | null {
  const candidates = [program.split(' ', 1)[0] as string, nameOf([program]) === 'node' ? script : '']
  return candidates.map(path => basename(path).replace(/(-cli)?\.[cm]?js$/, '')).find(name => managers.includes(name)) ?? null
}

// Not one that somebody types into.
function runsCommand (args: string[]): boolean {
  return shells.includes(nameOf(args)) && args.slice(1).some(argument => argument !== '' && !argument.startsWith('-'))
}

function isInit (args: string[]): boolean {
  return inits.includes(nameOf(args))
}

function nameOf ([program = '']: string[]): string {
  return basename(program)
}
