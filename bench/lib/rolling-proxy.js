import { setTimeout as sleep } from 'node:timers/promises'

import { freePort, startProxy } from '../../test/interop/proxies/proxy.ts'
import { startLoad } from './load.js'
import { readinessPath } from './readiness.js'
import { startMember } from './start-member.js'

const warmUpLimit = 10_000

/**
 * How each proxy hears that a replica leaves, with `checkEvery` in milliseconds. Nothing is sent to a server twice.
 *
 * Debian's nginx checks nothing: it hears of a server that has gone from the request that fails there, which is then
 * lost. Behind it the replacement has to listen on the same port (SO_REUSEPORT) before the signal.
 */
export const proxies = {
  haproxy: {
    title: 'HAProxy',
    startFirst: false,
    settings: checkEvery => [
      'retries 0', `option httpchk GET ${readinessPath}`, 'http-check expect status 200', `server check inter ${checkEvery}ms`
    ]
  },
  nginx: {
    title: 'nginx',
    startFirst: true,
    settings: () => ['proxy_next_upstream off;']
  },
  caddy: {
    title: 'Caddy',
    startFirst: false,
    settings: checkEvery => [`health_uri ${readinessPath}`, `health_interval ${checkEvery}ms`, 'health_timeout 1s']
  }
}

/**
 * Restarts every replica behind a proxy, one after the other, `rounds` times, while clients send POST requests. The
 * replicas have fixed ports. All processes are spawned first, because starting one under load would take a processor
 * away from what is being measured.
 *
 * @param {object} options
 * @param {keyof proxies} options.proxy
 * @param {string} options.variant
 * @param {number} options.replicas
 * @param {number} options.rounds
 * @param {number} options.clients
 * @param {number} options.think milliseconds that a client pauses between two requests
 * @param {number} options.work milliseconds that a request takes
 * @param {number} options.checkEvery milliseconds between two checks of a replica
 * @param {number} options.shutdownDelay milliseconds of lame duck, for the variant that has one
 * @param {number} options.startUp milliseconds until the replacement of a replica that has gone listens
 * @param {number} options.settle milliseconds of load before the first restart and after each
 * @param {number} options.killAfter milliseconds that a replica may take to exit
 */
export async function rollBehindProxy ({ proxy, variant, replicas, rounds, clients, think, work, checkEvery, shutdownDelay, startUp, settle, killAfter }) {
  const { startFirst, settings } = proxies[proxy]
  const restarts = replicas * rounds
  const spare = Array.from({ length: replicas + restarts }, () => startMember({
    variant: `rolling/${variant}`, settings: { work, shutdownDelay, reusePort: startFirst }
  }))
  const all = [...spare]
  const ends = []
  const exits = []
  let load
  try {
    await Promise.all(all.map(member => member.load()))
    const ports = await freePorts(replicas)
    const running = await Promise.all(ports.map(start))
    const [port, tlsPort] = await freePorts(2)
    const front = { name: 'replicas', port, tlsPort, upstreams: ports, isSecure: false, settings: settings(checkEvery) }
    await startProxy({ teardown: end => ends.push(end) }, proxy, [front])

    load = startLoad({ port, clients, think: [think], onlyPost: true, maxTime: (restarts + 2) * (settle + startUp + killAfter) })
    await Promise.race([load.warm, sleep(warmUpLimit, undefined, { ref: false })])
    await sleep(settle)
    for (let i = 0; i < restarts; i++) {
      const at = i % replicas
      running[at] = startFirst ? await startThenStop(running[at], ports[at]) : await stopThenStart(running[at], ports[at])
      await sleep(settle)
    }
    const counts = await load.stop()
    return { proxy, variant, replicas, rounds, clients, ...counts, exits, stderr: all.map(member => member.stderr()).filter(Boolean) }
  } finally {
    await load?.stop()
    for (const end of ends) await end()
    await Promise.all(all.map(member => member.kill()))
  }

  async function start (port) {
    const member = spare.pop()
    await member.listen(port)
    return member
  }

  async function stopThenStart (old, port) {
    exits.push(await old.terminate(killAfter))
    await sleep(startUp)
    return start(port)
  }

  async function startThenStop (old, port) {
    const next = await start(port)
    exits.push(await old.terminate(killAfter))
    return next
  }
}

async function freePorts (count) {
  const ports = new Set()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}
