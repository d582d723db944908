import { isMainThread } from 'node:worker_threads'
import { nameOf } from '../os/proc.ts'

export interface Surroundings {
  platform: string
  pid: number
  isMainThread: boolean
  /** The name of process 1, if that has started this one. */
  init: string | null
}

export const surroundings: Surroundings = {
  platform: process.platform,
  pid: process.pid,
  isMainThread,
  get init () { return process.ppid === 1 ? nameOf(1) : null }
}

// They end when the process ends that they have started, and all others of the container end with them.
const endsWithItsChild = /^(tini|docker-init|dumb-init|catatonit|sh|ash|bash|dash|busybox|npm|pnpm|yarn)\b/

/** Why this process cannot hand over to a successor, and what to do instead; `null`: it can. */
export function whyImpossible ({ platform, pid, isMainThread, init }: Surroundings): string | null {
  if (platform === 'win32') return 'Windows cannot pass sockets to another process in this way; restart behind a load balancer'
  if (!isMainThread) return 'this is a worker thread; register it in the main thread'
  if (pid === 1) return `this is process 1, and its container ends when it leaves; ${instead}`
  if (init !== null && endsWithItsChild.test(init)) return `process 1 is ${init}, which ends, and its container with it, when this process leaves; ${instead}`
  return null
}

const instead = 'have the orchestrator replace the container (SIGTERM), or run the app under a service manager that can follow it to another process'
