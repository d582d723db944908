// What a report of Stryker says, counted: its schema is the one of mutation-testing-report-schema.

const noticed = ['Killed', 'Timeout']
const unnoticed = ['Survived', 'NoCoverage']
// What tap says of a test that has waited for too long, and of one that nothing was left to wait for.
const timedOut = /\btimeout!/

/**
 * How each file did, which mutants survived, and which explanations explain nothing any more.
 * @param {object} report of Stryker
 * @param {Array<{ file: string, line: string, mutants: string[], why: string }>} explained
 */
export function outcomes (report, explained) {
  const used = new Set()
  const survivors = []
  const files = Object.entries(report.files).map(([file, { source, mutants }]) => {
    const lines = source.split('\n')
    const counts = { file, mutants: 0, killed: 0, timeout: 0, survived: 0, explained: 0, errors: 0 }
    for (const { status, statusReason = '', mutatorName, replacement, location: { start, end } } of mutants) {
      if (status === 'RuntimeError' || status === 'CompileError') counts.errors++
      if (![...noticed, ...unnoticed].includes(status)) continue
      counts.mutants++
      if (noticed.includes(status)) {
        if (status === 'Timeout' || timedOut.test(statusReason)) counts.timeout++
        else counts.killed++
        continue
      }
      counts.survived++
      const line = lines[start.line - 1].trim()
      const from = start.line === end.line ? lines[start.line - 1].slice(start.column - 1, end.column - 1) : `${lines[start.line - 1].slice(start.column - 1)} ...`
      const to = oneLine(replacement)
      const reason = explained.find(each => each.file === file && each.line === line && each.mutants.includes(`${from} => ${to}`))
      if (reason !== undefined) {
        used.add(reason)
        counts.explained++
      }
      survivors.push({ file, line: start.line, source: line, mutator: mutatorName, from, to, isCovered: status === 'Survived', why: reason?.why ?? null })
    }
    return { ...counts, ...scores(counts) }
  })
  const tried = new Set(files.map(({ file }) => file))
  return { files, survivors, stale: explained.filter(each => tried.has(each.file) && !used.has(each)) }
}

/** Of all files together. */
export function totals (files) {
  const sum = { file: 'all', mutants: 0, killed: 0, timeout: 0, survived: 0, explained: 0, errors: 0 }
  for (const counts of files) for (const key of Object.keys(sum)) if (key !== 'file') sum[key] += counts[key]
  return { ...sum, ...scores(sum) }
}

/** In per cent; what could not be run, because the process ended without a failed test, counts for neither side. */
function scores ({ mutants, survived, explained }) {
  return { score: percent(mutants - survived, mutants), scoreOfUnexplained: percent(mutants - survived, mutants - explained) }
}

function percent (part, whole) {
  return whole === 0 ? 100 : 100 * part / whole
}

function oneLine (text) {
  return text.replace(/\s+/g, ' ')
}

const columns = ['file', 'mutants', 'killed', 'time-out', 'survived', 'score', 'explained', 'score without those']

function cells ({ file, mutants, killed, timeout, survived, explained, score, scoreOfUnexplained }) {
  return [file, mutants, killed, timeout, survived, `${score.toFixed(1)} %`, explained, `${scoreOfUnexplained.toFixed(1)} %`].map(String)
}

/** For a terminal: lines. */
export function inWords ({ files, survivors, stale }) {
  const rows = [columns, ...[...files, totals(files)].map(cells)]
  const widths = columns.map((_, i) => Math.max(...rows.map(row => row[i].length)))
  const { errors } = totals(files)
  return [
    ...survivors.map(({ file, line, from, to, why, isCovered }) =>
      `${why === null ? (isCovered ? 'survived ' : 'untested ') : 'explained'}  ${file}:${line}  ${from}  =>  ${to}${why === null ? '' : `  (${why})`}`),
    ...stale.map(({ file, mutants }) => `needs no explanation any more  ${file}  ${mutants.join(', ')}`),
    ...(errors > 0 ? [`${errors} could not be run: the process of the test ended without a failed test`] : []),
    '',
    ...rows.map(row => row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  '))
  ]
}

/** For docs/mutation.md. */
export function inMarkdown ({ files, survivors }, minutes) {
  const table = rows => rows.map(row => `| ${row.join(' | ')} |`)
  const code = text => `\`${text.replaceAll('|', '\\|')}\``
  return [
    ...table([columns, columns.map((_, i) => i === 0 ? '---' : '---:'), ...[...files, totals(files)].map(cells)]),
    ...(minutes === null ? [] : ['', `It took ${minutes} minutes.`]),
    '', '## Survivors', '',
    ...table([['where', 'in the code', 'mutant', 'why it survives'], ['---', '---', '---', '---'], ...survivors.map(({ file, line, source, from, to, why }) =>
      [`${file}:${line}`, code(source), code(`${from} => ${to}`), why ?? 'no test notices it'])])
  ].join('\n')
}
