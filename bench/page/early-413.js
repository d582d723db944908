import { bars } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, where } from '../lib/page/numbers.js'
import { atLeast, judge } from '../lib/page/targets.js'
import { clients } from '../lib/upload-clients.js'

const titles = { steady: 'in steady state', sigterm: 'SIGTERM while they run' }

export default {
  title: 'Uploads that are answered early',
  minutes: { full: 4, quick: 2 },

  runs: quick => ({ uploads: ['early-413.js', '--rounds', quick ? '1' : '2'] }),

  condense: ({ uploads: { flags, results } }) => ({
    uploads: flags.uploads,
    size: flags.size,
    rows: results.map(({ round, variant, client, moment, whole, reset, other, errors, afterSignal, exit }) => ({
      round, variant, client, moment, whole, reset, other, errors, afterSignal: afterSignal ?? null, exitMs: exit?.ms ?? null
    }))
  }),

  section: ({ uploads, size, rows }) => ({
    title: 'Uploads that are answered early',
    shows: `${uploads} uploads of ${size} MB with Content-Length and without Expect, to a server that takes 1 MiB: Fastify answers 413 when it has read the head (its own ` +
      'FST_ERR_CTP_BODY_TOO_LARGE), while the client is still sending. A server that closes then resets the connection, and the client may never see the answer. ' +
      'One after the other in steady state; and all at once, with SIGTERM as soon as they have begun. Counted are the clients that have read the whole answer. ' +
      'None of these clients is helped: Python\'s http.client raises what its send raises, without a look at what has come; curl looks, and reads the answer; ' +
      'Node\'s http and undici read it if it comes before their write fails. fastify-drain goes on reading for lingerTime, 5 s.',
    tables: distinct(rows, 'moment').map(moment => ({ caption: `${titles[moment]}, of ${uploads}: median / worst`, ...table(where(rows, { moment })) })),
    charts: [{ file: 'early-413.svg', alt: 'Whole answers read, by server and client', spec: chart(rows, uploads) }],
    targets: distinct(rows, 'client').map(client => judge({
      what: `early 413 read by ${clients[client].title}, in steady state and at SIGTERM`,
      target: `${uploads} of ${uploads}`,
      values: where(rows, { variant: ours, client }).map(({ whole }) => whole),
      isReached: atLeast(uploads),
      worst: Math.min
    }))
  })
}

function table (rows) {
  const kinds = distinct(rows, 'client')
  const causes = variant => {
    const counts = {}
    for (const { errors } of where(rows, { variant })) {
      for (const [error, times] of Object.entries(errors)) counts[error] = (counts[error] ?? 0) + times
    }
    return Object.entries(counts).map(([error, times]) => `${times} x ${error}`).join(', ')
  }
  return {
    head: ['server', ...kinds.map(kind => clients[kind].title), 'what the others saw'],
    rows: distinct(rows, 'variant').map(variant => [
      cellOf(variant),
      ...kinds.map(client => medianAndWorst(where(rows, { variant, client }).map(({ whole }) => whole), { worst: Math.min })),
      causes(variant)
    ])
  }
}

function chart (rows, uploads) {
  return {
    ...bars({
      title: 'Whole answers read, by server and client',
      subtitle: 'in steady state and at SIGTERM together: median, best and worst',
      axis: `answers of ${uploads}`,
      width: 150,
      rows: distinct(rows, 'client').flatMap(client => distinct(rows, 'variant').map(variant => ({
        server: nameOf(variant), facet: clients[client].title, ...range(where(rows, { variant, client }).map(({ whole }) => whole))
      }))),
      scale: { domain: [0, uploads] }
    })
  }
}
