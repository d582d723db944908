import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { Client } from 'undici'

import { createTally } from './tally.js'

const requestTimeout = 10_000

/**
 * Keep-alive clients, each on one connection of its own: GET and POST in turn, or POST only, then a pause.
 * Nothing is retried, so every request that the server lets down shows up.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {number} options.clients
 * @param {number[]} options.think pauses in milliseconds, dealt out to the clients in turn
 * @param {boolean} [options.onlyPost=false]
 * @param {number} [options.maxTime=120000] milliseconds after which the load ends by itself
 * @param {number} [options.maxRequests=100000] requests after which a client ends by itself
 */
export function startLoad ({ port, clients, think, onlyPost = false, maxTime = 120_000, maxRequests = 100_000 }) {
  const tally = createTally()
  const deadline = performance.now() + maxTime
  const stopping = new AbortController()
  let silent = clients
  let resolveWarm
  const warm = new Promise(resolve => { resolveWarm = resolve })

  const ended = Promise.all(Array.from({ length: clients }, (_, i) => runClient(i, think[i % think.length])))

  return { counts: tally.counts, warm, stop }

  async function stop () {
    stopping.abort()
    await ended
    return tally.counts
  }

  async function runClient (id, pause) {
    const client = new Client(`http://127.0.0.1:${port}`, {
      pipelining: 1,
      connect: { timeout: requestTimeout },
      headersTimeout: requestTimeout,
      bodyTimeout: requestTimeout
    })
    client.on('connect', () => tally.connected())
    client.on('disconnect', (origin, targets, error) => { if (!client.destroyed) tally.disconnected(error) })

    await sleep(Math.random() * pause)
    for (let n = 0; n < maxRequests && !stopping.signal.aborted && performance.now() < deadline; n++) {
      await request(client, n % 2 === 0 && !onlyPost ? get(id, n) : post(id, n))
      if (n === 0 && --silent === 0) resolveWarm()
      await sleep(pause)
    }
    await client.destroy()
  }

  async function request (client, { expected, ...options }) {
    const start = performance.now()
    try {
      const { statusCode, body } = await client.request(options)
      tally.answered(statusCode, await body.text() === expected, performance.now() - start)
    } catch (error) {
      tally.lost(error)
    }
  }
}

// The answer repeats what only this request said, so an answer to another request is not taken for it.
function get (id, n) {
  return { method: 'GET', path: `/items/${id}-${n}`, expected: `{"id":"${id}-${n}"}` }
}

function post (id, n) {
  const body = JSON.stringify({ id, n, text: 'a small body' })
  return { method: 'POST', path: '/items', headers: { 'content-type': 'application/json' }, body, expected: body }
}
