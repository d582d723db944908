import { setTimeout as sleep } from 'node:timers/promises'

import { startInstance } from './instance.js'
import { openListener } from './listener.js'
import { startLoad } from './load.js'
import { countTimeWait, timeWaitSockets } from './time-wait.js'

const warmUpLimit = 15_000

/**
 * Restarts one kind of server under load: the successor listens, then the old instance gets SIGTERM.
 *
 * All processes are spawned first, because starting one under load would take a processor away
 * from what is being measured.
 *
 * @param {object} options
 * @param {string} options.variant
 * @param {number} options.clients
 * @param {number[]} options.think milliseconds
 * @param {number} options.work milliseconds a request takes
 * @param {number} options.restarts
 * @param {number} options.killAfter milliseconds an instance may take to exit
 * @param {number} [options.settle] milliseconds of load before and after each restart
 * @param {(what: string, counts: object) => void} [options.onStep] told of every step
 */
export async function restartUnderLoad ({
  variant,
  clients,
  think,
  work,
  restarts,
  killAfter,
  settle = Math.max(...think) + 600,
  onStep = () => {}
}) {
  const listener = await openListener()
  const timeWaitBefore = await timeWaitSockets(listener.port)
  const instances = Array.from({ length: restarts + 1 }, () => startInstance({ variant, work, fds: [listener.fd] }))
  await listener.close()

  const exits = []
  let load
  try {
    await Promise.all(instances.map(instance => instance.load()))
    await instances[0].listen()

    load = startLoad({ port: listener.port, clients, think })
    onStep('warming up', load.counts)
    await Promise.race([load.warm, sleep(warmUpLimit, undefined, { ref: false })])
    await sleep(settle)

    for (let i = 0; i < restarts; i++) {
      await instances[i + 1].listen()
      onStep(`restart ${i + 1}/${restarts}: SIGTERM`, load.counts)
      const exit = await instances[i].terminate(killAfter)
      exits.push(exit)
      onStep(`restart ${i + 1}/${restarts}: ${describeExit(exit)}`, load.counts)
      await sleep(settle)
    }

    // While the clients still hold their last connections: those are not the restarts' doing.
    const timeWait = await countTimeWait(listener.port, timeWaitBefore)
    const counts = await load.stop()

    return {
      variant,
      think,
      work,
      clients,
      restarts,
      ...counts,
      timeWait,
      exits,
      stderr: instances.map(instance => instance.stderr()).filter(Boolean)
    }
  } finally {
    await load?.stop()
    await Promise.all(instances.map(instance => instance.kill()))
  }
}

function describeExit ({ ms, killed }) {
  return killed ? `killed after ${ms} ms` : `exit ${ms} ms`
}
