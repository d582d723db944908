import { startInstance } from './instance.js'
import { openListener } from './listener.js'

/** Starts one server on a port of its own and resolves when it listens. */
export async function startServer (variant, options) {
  const { ports: [port], ...server } = await startServers([variant], options)
  return { port, ...server }
}

/** Starts one process with an app of each of these variants, each on a port of its own, and resolves when all listen. */
export async function startServers (variants, options) {
  const listeners = await Promise.all(variants.map(openListener))
  const instance = startInstance({ variant: variants.join(), fds: listeners.map(({ fd }) => fd), ...options })
  await Promise.all(listeners.map(listener => listener.close()))
  try {
    await instance.load()
    await instance.listen()
  } catch (error) {
    await instance.kill()
    throw error
  }
  return { ports: listeners.map(({ port }) => port), cpu: instance.cpu, heap: instance.heap, kill: instance.kill }
}
