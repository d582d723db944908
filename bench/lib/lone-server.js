import { startInstance } from './instance.js'
import { openListener } from './listener.js'

/** Starts one server on a port of its own and resolves when it listens. */
export async function startServer (variant, options) {
  const listener = await openListener()
  const instance = startInstance({ variant, fd: listener.fd, ...options })
  await listener.close()
  try {
    await instance.load()
    await instance.listen()
  } catch (error) {
    await instance.kill()
    throw error
  }
  return { port: listener.port, cpu: instance.cpu, heap: instance.heap, kill: instance.kill }
}
