/** A table. Each column but the first is aligned to the right when all of its cells are numbers. */
export function table (head, rows) {
  const isNumeric = i => i > 0 && rows.every(row => /^[-+*\d\s.,/%]*( (ms|us|bytes|%))?\**$/.test(row[i]))
  const line = cells => `| ${cells.map(escape).join(' | ')} |`
  return [line(head), `|${head.map((_, i) => isNumeric(i) ? '---:' : '---').join('|')}|`, ...rows.map(line)].join('\n')
}

function escape (cell) {
  return String(cell).replaceAll('|', '\\|').replaceAll('\n', '<br>')
}

/** One section of the page: its text, tables and charts. */
export function section ({ title, shows, tables = [], charts = [], failures = [] }) {
  return [
    `## ${title}`,
    shows,
    ...charts.map(({ file, alt }) => `![${alt}](${file})`),
    ...tables.flatMap(({ caption, head, rows }) => [...caption ? [`**${caption}**`] : [], table(head, rows)]),
    ...failures.map(failure => `**Failed:** ${failure}.`)
  ].join('\n\n')
}

/** The link to a section, as GitHub makes it. */
export function anchor (title) {
  return `#${title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')}`
}
