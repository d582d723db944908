import { answers, capitalized, toTable } from './result.js'

const rows = {
  requests: result => result.requests,
  lost: result => result.lost,
  'answered 503': result => result.answered503,
  'connections before': result => result.clients,
  'kept to the end': result => result.kept,
  reconnects: result => result.reconnects,
  'answered by process': result => result.pids.join('\n'),
  'connections moved': ({ moves }) => moves.map(({ moved, movedIn }) => moved > 0 ? `${moved} in ${movedIn} ms` : 'none').join('\n'),
  'longest pause, before': result => `${Math.round(result.longestBefore)} ms`,
  'longest pause, restarts': result => `${Math.round(result.longest)} ms`
}

export const table = results => toTable(rows, results)

/** What the clients see now, with the number of connections on which each process has answered last. */
export function numbers ({ requests = 0, lost = 0, reconnects = 0, shares = [] }) {
  const of = (count, what, width) => `${String(count).padStart(width)} ${what}`
  const holders = shares.map(([pid, count]) => `${pid}: ${count}`).join('  ')
  return [of(requests, 'requests', 6), of(lost, 'lost', 3), of(reconnects, 'reconnects', 3), holders.padEnd(22)].join('  ')
}

export function sentence (results) {
  return results.map(result => {
    const { title, restarts, clients, kept, reconnects, longest } = result
    return `${capitalized(title)}, in ${restarts} restarts, ${kept} of ${clients} connections were kept (${reconnects} reconnects), ` +
      `${answers(result)}, and the longest pause was ${Math.round(longest)} ms.`
  }).join('\n')
}

/** What the plugin must not let happen. */
export function failures ({ requests, lost, answered503, clients, kept, reconnects, moves }) {
  return [
    requests === 0 && 'no request was made',
    lost > 0 && `${lost} lost`,
    answered503 > 0 && `${answered503} answered 503`,
    kept < clients && `${clients - kept} connections not kept`,
    reconnects > 0 && `${reconnects} reconnects`,
    moves.some(({ moved }) => moved === 0) && 'a restart moved no connection'
  ].filter(Boolean)
}
