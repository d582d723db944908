import type { Server } from 'node:net'
import { override, type ListenOptions } from './override.ts'

// No process has as many descriptors.
const noDescriptor = 2 ** 31 - 1

/** Makes this listen() fail with `error`, before anything is bound. */
export function refuseListen (server: Server, options: ListenOptions, error: Error): void {
  // Node refuses the descriptor, too, one tick later.
  override(options, { fd: noDescriptor })
  process.nextTick(() => {
    server.emit('error', error)
    server.once('error', () => {})
  })
}
