import { performance } from 'node:perf_hooks'

import { startInstance } from './instance.js'
import { openListener } from './listener.js'
import { clients } from './upload-clients.js'

// As Python, curl and Node call them. curl 55 is a failed send, 56 a failed receive.
const resets = new Set(['ECONNRESET', 'EPIPE', 'ConnectionResetError', 'BrokenPipeError', 'curl 55', 'curl 56'])
const errorCode = 'FST_ERR_CTP_BODY_TOO_LARGE'

/** When the uploads begin, and how many run at a time. */
export const moments = {
  steady: { title: 'in steady state', upload: inSteadyState },
  sigterm: { title: 'SIGTERM while they run', upload: rightBeforeSigterm }
}

/**
 * Uploads that are far too long, to one kind of server.
 *
 * @param {object} options
 * @param {string} options.variant
 * @param {keyof clients} options.client
 * @param {keyof moments} options.moment
 * @param {number} options.uploads
 * @param {number} options.size bytes of each
 * @param {number} options.killAfter milliseconds the server may take to exit
 */
export async function uploadTooMuch ({ variant, client, moment, uploads, size, killAfter }) {
  const listener = await openListener()
  const servers = [1, 2].map(() => startInstance({ variant, fds: [listener.fd] }))
  await listener.close()
  const upload = options => clients[client].run({ url: `http://127.0.0.1:${listener.port}/items`, size, count: uploads, ...options })
  try {
    await Promise.all(servers.map(server => server.load()))
    await servers[0].listen()
    const { outcomes, ...rest } = await moments[moment].upload({ upload, uploads, servers, killAfter })
    return { variant, client, moment, uploads, ...tally(outcomes, uploads), ...rest, stderr: servers.map(server => server.stderr()).filter(Boolean) }
  } finally {
    await Promise.all(servers.map(server => server.kill()))
  }
}

async function inSteadyState ({ upload }) {
  return { outcomes: await upload({ width: 1 }) }
}

/** All at once. The successor listens on the same socket as soon as they have begun, so nobody finds the port closed. */
async function rightBeforeSigterm ({ upload, uploads, servers: [old, successor], killAfter }) {
  let signalled
  let exiting
  const outcomes = await upload({
    width: uploads,
    onBegun () {
      signalled = performance.now()
      exiting = old.terminate(killAfter)
      // What goes wrong there shows in the outcomes.
      successor.listen().catch(() => {})
    }
  })
  if (exiting === undefined) return { outcomes, afterSignal: 0, exit: null }
  return { outcomes, afterSignal: outcomes.filter(({ at }) => at > signalled).length, exit: await exiting }
}

/** @returns how many have read the whole answer, how many were cut off, and what else there was */
function tally (outcomes, uploads) {
  const counts = { whole: 0, reset: 0, other: 0, errors: {} }
  for (const outcome of outcomes) {
    const kind = judge(outcome)
    counts[kind]++
    if (kind !== 'whole') count(counts.errors, outcome.error ?? `status ${outcome.status}`)
  }
  const missing = uploads - outcomes.length
  if (missing > 0) {
    counts.other += missing
    counts.errors['not reported'] = missing
  }
  return counts
}

function judge ({ status, body, error }) {
  if (error !== undefined) return resets.has(error) ? 'reset' : 'other'
  return status === 413 && body.includes(errorCode) && body.endsWith('}') ? 'whole' : 'other'
}

function count (where, key) {
  where[key] = (where[key] ?? 0) + 1
}
