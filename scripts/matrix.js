// Failure modes x servers x Node lines: what the suite has tried, as its TAP in .tap/ tells.
//
//   node scripts/matrix.js          prints the table of the last run
//   node scripts/matrix.js --write  keeps it in docs/failure-modes.md
//
// A test counts for a cell by its name: `row 7: https: ...` or, for several servers, `row 7: http, https: ...`.
// What the rows themselves say stands in comments: `# row 7: h2: not here: ...`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const servers = ['http', 'https', 'h2c', 'h2', 'allowHTTP1']
const names = `(?:${servers.join('|')})`
const testLine = new RegExp(`^\\s*(not )?ok \\d+ - row (\\d+): (${names}(?:, ${names})*): (.*)$`)
const rowLine = new RegExp(`^\\s*# row (\\d+): (?:(${names}): )?(situation|expected|not here): (.*)$`)

/**
 * Reads the TAP of each Node line.
 * @param {Record<string, string>} taps by line, such as `22`
 */
export function readMatrix (taps) {
  const rows = new Map()
  for (const [line, tap] of Object.entries(taps)) {
    for (const text of tap.split('\n')) {
      const [, failed, number, on, rest] = testLine.exec(text) ?? []
      const [, row, server, what, words] = rowLine.exec(text) ?? []
      if (number !== undefined) {
        for (const name of on.split(', ')) count(rowOf(number)[name], line, failed ? 'failed' : / # SKIP\b/.test(rest) ? 'skipped' : 'passed')
      } else if (what === 'not here') {
        rowOf(row)[server].reason = words
      } else if (what !== undefined) {
        rowOf(row)[what] = words
      }
    }
  }
  return { lines: Object.keys(taps), rows: [...rows.entries()].sort(([a], [b]) => a - b).map(([, row]) => row) }

  function rowOf (number) {
    const key = Number(number)
    if (!rows.has(key)) {
      rows.set(key, { number: key, situation: '', expected: '', ...Object.fromEntries(servers.map(name => [name, { reason: null, lines: {} }])) })
    }
    return rows.get(key)
  }
}

function count (cell, line, result) {
  cell.lines[line] ??= { passed: 0, failed: 0, skipped: 0 }
  cell.lines[line][result]++
}

/** The cells as text, the reasons that they refer to, and what is missing. */
export function inWords ({ lines, rows }) {
  const reasons = []
  const problems = []
  const table = rows.map(row => [row.number, row.situation, row.expected, ...servers.map(name => cellOf(row, name))])
  return { table, reasons, problems }

  function cellOf (row, name) {
    const { reason, lines: tried } = row[name]
    const ran = lines.filter(line => tried[line] !== undefined)
    if (reason !== null) {
      if (ran.length > 0) problems.push(`row ${row.number} has tests on ${name}, and says why it has none`)
      if (!reasons.includes(reason)) reasons.push(reason)
      return `(${letter(reasons.indexOf(reason))})`
    }
    const bad = lines.filter(line => tried[line] === undefined || tried[line].failed > 0)
    for (const line of bad) problems.push(`row ${row.number} on ${name}, Node ${line}: ${tried[line] === undefined ? 'no test' : `${tried[line].failed} failed`}`)
    const skipped = lines.filter(line => tried[line] !== undefined && tried[line].passed === 0 && tried[line].failed === 0)
    const good = lines.filter(line => !bad.includes(line) && !skipped.includes(line))
    return [...good, ...skipped.map(line => `${line} skipped`), ...bad.map(line => `${line} NOT`)].join(' ')
  }
}

function letter (index) {
  return String.fromCharCode('a'.charCodeAt(0) + index)
}

/** For a terminal. */
export function print (matrix, write = console.log) {
  const { table, reasons, problems } = inWords(matrix)
  const shown = [['', 'failure mode', ...servers], ...table.map(([number, situation, , ...cells]) => [String(number), shortened(situation, 46), ...cells])]
  const widths = shown[0].map((_, i) => Math.max(...shown.map(row => row[i].length)))
  for (const row of shown) write(row.map((text, i) => i === 0 ? text.padStart(widths[i]) : text.padEnd(widths[i])).join('  ').trimEnd())
  for (const [i, reason] of reasons.entries()) write(`(${letter(i)}) ${reason}`)
  return problems
}

function shortened (text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/** For docs/failure-modes.md. */
export function markdown (matrix) {
  const { table, reasons } = inWords(matrix)
  const rows = [['#', 'situation at the drain', 'must happen', ...servers], ['---:', ...Array(7).fill('---')], ...table]
  return [...rows.map(row => `| ${row.join(' | ')} |`), '', ...reasons.map((reason, i) => `- (${letter(i)}) ${reason}`)].join('\n')
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** The matrix of the last run, of these lines. */
export function lastRun (lines = Object.keys(JSON.parse(readFileSync(join(root, 'scripts', 'nodes.json'), 'utf8')))) {
  return readMatrix(Object.fromEntries(lines.map(line => [line, readFileSync(join(root, '.tap', `node-${line}.tap`), 'utf8')])))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const matrix = lastRun()
  const problems = print(matrix)
  for (const problem of problems) console.log(`not ok  ${problem}`)
  if (process.argv.includes('--write')) {
    const path = join(root, 'docs', 'failure-modes.md')
    const table = /(?<=<!-- written by scripts\/matrix\.js -->\n).*(?=\n<!-- end -->)/s
    writeFileSync(path, readFileSync(path, 'utf8').replace(table, () => markdown(matrix)))
  }
  process.exitCode = problems.length > 0 ? 1 : 0
}
