import Table from 'cli-table3'

const rows = {
  requests: result => result.requests,
  lost: result => result.lost,
  'answered 503': result => result.answered503,
  reset: result => result.reset,
  'server TIME_WAIT': ({ timeWait, connections, clients }) => timeWait === null ? 'not known here' : `${timeWait} of ${connections - clients}`,
  'exit, worst': ({ exits }) => exitTime(exits)
}

export const table = results => toTable(rows, results)

export function toTable (rows, results) {
  const table = new Table({
    head: ['', ...results.map(result => result.title)],
    colAligns: ['left', ...results.map(() => 'right')],
    style: { head: [], border: [] }
  })
  for (const [name, read] of Object.entries(rows)) table.push([name, ...results.map(read)])
  return table.toString()
}

export function numbers ({ requests = 0, lost = 0, answered503 = 0 }) {
  const of = (count, what, width) => `${String(count).padStart(width)} ${what}`
  return [of(requests, 'requests', 6), of(lost, 'lost', 3), of(answered503, 'x 503', 3)].join('  ')
}

export function sentence (results) {
  const [first, ...others] = results.map(result => `${result.title}, in ${result.restarts} restarts, ${answers(result)}`)
  return `${[capitalized(first), ...others].join('; ')}.`
}

export function answers ({ requests, lost, answered503 }) {
  return lost + answered503 === 0
    ? `all ${requests} requests got their answer`
    : `of ${requests} requests ${lost} got no answer and ${answered503} a 503`
}

export function capitalized (text) {
  return text[0].toUpperCase() + text.slice(1)
}

/** What the plugin must not let happen. */
export function failures ({ requests, lost, answered503, reset, exits }) {
  return [
    requests === 0 && 'no request was made',
    lost > 0 && `${lost} lost`,
    answered503 > 0 && `${answered503} answered 503`,
    reset > 0 && `${reset} reset`,
    ...exits.map(({ code, signal, killed }) => {
      if (killed) return 'an instance had to be killed'
      return code !== 0 && `an instance ended with ${signal ?? `exit code ${code}`}`
    })
  ].filter(Boolean)
}

function exitTime (exits) {
  const worst = exits.reduce((a, b) => b.ms > a.ms ? b : a)
  return worst.killed ? `> ${Math.floor(worst.ms / 1000)} s, killed` : `${worst.ms} ms`
}
