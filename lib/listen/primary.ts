import cluster from 'node:cluster'
import { createServer, type Server } from 'node:net'
import type { Clock } from '../clock.ts'
import { descriptorOf } from '../os/descriptor.ts'

// Nobody can listen behind something that is no folder.
const nowhere = '/dev/null/fastify-drain'

// For a primary that hangs, in ms.
const patience = 5000

/** Whether a primary of node:cluster accepts for this server, and hands the connections to its workers (SCHED_RR). */
export function isServedByPrimary (server: Server): boolean {
  return cluster.isWorker && server.listening && descriptorOf(server) === null
}

/**
 * Resolves when the primary hands nothing to this worker any more, whose listener is closed. Until it has read that it
 * goes on, and it never finds out that nobody is there: a client whose connection is on its way when the process ends
 * would wait for ever. One that comes before is refused by Node, and the primary gives it to another worker.
 *
 * What the two say to each other is Node's own, but messages do not overtake each other, so the answer to any
 * question will do. Asking to listen where that is impossible leaves nothing behind.
 */
export async function forgottenByPrimary (clock: Clock): Promise<void> {
  // It has been forgotten before it was told to go.
  if (cluster.worker?.exitedAfterDisconnect === true || !process.connected) return
  await new Promise<void>(resolve => {
    const cancel = clock.after(patience, done)
    process.once('disconnect', done)
    createServer().once('error', done).listen(nowhere)

    function done (): void {
      cancel()
      process.off('disconnect', done)
      resolve()
    }
  })
}
