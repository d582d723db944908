import cluster from 'node:cluster'
import { isMainThread } from 'node:worker_threads'

export interface Surroundings {
  platform: string
  pid: number
  isWorker: boolean
  isMainThread: boolean
}

export const surroundings: Surroundings = {
  platform: process.platform,
  pid: process.pid,
  isWorker: cluster.isWorker,
  isMainThread
}

/** Why this process cannot hand over to a successor, and what to do instead; `null`: it can. */
export function whyImpossible ({ platform, pid, isWorker, isMainThread }: Surroundings): string | null {
  if (platform === 'win32') return 'Windows cannot pass sockets to another process in this way; restart behind a load balancer'
  if (!isMainThread) return 'this is a worker thread; register it in the main thread'
  if (isWorker) return 'this is a worker of node:cluster; have the primary replace its workers, as examples/cluster.ts does'
  if (pid === 1) {
    return 'this is process 1, and its container ends when it leaves; have the orchestrator replace the container (SIGTERM), or run the app under a service manager that can follow it to another process'
  }
  return null
}
