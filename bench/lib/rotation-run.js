import { fork } from 'node:child_process'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { startChooser } from './chooser.js'
import { order } from './orders.js'
import { startRotationLoad } from './rotation-load.js'
import { environment } from './server-process.js'

const replicasFile = fileURLToPath(new URL('./replicas.js', import.meta.url))

/**
 * Long-lived clients that are all connected to the first replicas; then the others join, as when a deployment is scaled up.
 *
 * @param {object} options
 * @param {'http' | 'https' | 'h2c' | 'h2'} options.protocol
 * @param {number} options.replicas
 * @param {number} options.first how many of them are there at the beginning
 * @param {number} options.processes which they are dealt out to
 * @param {number} options.clients
 * @param {number} options.arrival over how long they come, in ms
 * @param {number} options.think pause of a client between two requests, in ms
 * @param {number | false} options.maxConnectionAge in ms
 * @param {number} options.age how long an age period is, in ms
 * @param {number} options.periods
 * @param {(sample: { at: number, counts: number[] }) => void} [options.onSample] ten times in each period
 */
export async function rotateUnderLoad ({ protocol, replicas, first, processes, clients, arrival, think, maxConnectionAge, age, periods, onSample = () => {} }) {
  const members = Array.from({ length: processes }, startReplicas)
  let chooser
  try {
    const counts = members.map((_, i) => share(replicas, processes, i))
    const ports = (await Promise.all(members.map((tell, i) => tell('listen', { count: counts[i], protocol, maxConnectionAge })))).flat()
    chooser = await startChooser(ports.slice(0, first))
    const load = startRotationLoad({ port: chooser.port, protocol, clients, arrival, think })
    await load.warm

    chooser.choose(ports)
    const samples = []
    const began = performance.now()
    const step = age / 10
    for (let n = 0; n <= periods * 10; n++) {
      await sleep(Math.max(0, began + n * step - performance.now()))
      const sample = { at: Math.round(performance.now() - began), counts: (await Promise.all(members.map(tell => tell('connections')))).flat() }
      samples.push(sample)
      onSample(sample)
    }
    return { protocol, maxConnectionAge, samples, ...await load.stop(), load: loadavg()[0] }
  } finally {
    chooser?.close()
    for (const tell of members) tell.end()
  }
}

/** The largest share of the connections that one replica has, as a multiple of the fair share. */
export function largestShare (counts) {
  const all = counts.reduce((sum, count) => sum + count, 0)
  return all === 0 ? 0 : Math.max(...counts) * counts.length / all
}

function startReplicas () {
  const child = fork(replicasFile, { env: environment() })
  endWithParent(child)
  const tell = (name, argument) => order(child, 'A process of replicas', name, argument)
  tell.end = () => child.kill('SIGKILL')
  return tell
}

function share (total, parts, i) {
  return Math.floor(total * (i + 1) / parts) - Math.floor(total * i / parts)
}
