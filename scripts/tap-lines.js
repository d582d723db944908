/**
 * Reads what `tap run --reporter=tap` prints and hands on what a person wants to see: one line per file, every failed
 * assertion with its path and diagnostics, every skipped test, and what stands outside of the tests (the coverage table).
 *
 * It relies on tap printing one file after the other, as it does when it runs more than one job.
 */
export function tapLines (print) {
  const totals = { pass: 0, fail: 0, skip: 0, todo: 0, complete: false, failedFiles: [], coverage: 100 }
  // The subtests that are open, outermost (the file) first.
  let open = []
  // The indentation of the `not ok` line whose YAML block is being printed.
  let diagnosed = -1
  let rest = ''

  return { totals, write, end: () => write('\n') }

  function write (text) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) read(line)
  }

  function read (line) {
    const indent = line.search(/\S/)
    const content = line.trim()
    if (diagnosed >= 0) {
      if (content === '...' && indent === diagnosed + 2) diagnosed = -1
      else if (indent > diagnosed + 2 || content !== '---') print(`    ${line.slice(diagnosed)}`)
      return
    }
    if (content === '') return

    const point = /^(not )?ok \d+(?: - (.*))?$/.exec(content)
    if (content.startsWith('# Subtest: ')) {
      open.push({ indent, name: content.slice('# Subtest: '.length), failed: false })
    } else if (point) {
      readPoint(indent, !point[1], point[2] ?? '')
    } else if (open.length === 0) {
      readOutside(line)
    }
  }

  function readPoint (indent, passed, description) {
    const closed = open.find(level => level.indent === indent)
    open = open.filter(level => level.indent < indent)
    const isFile = open.length === 0
    const [, title, time] = /^(.*?)(?: # time=([\d.]+)ms)?$/.exec(description)
    const [, directive] = / # (SKIP|TODO)\b/i.exec(description) ?? []
    const path = [...open.map(({ name }) => name), title].join(' > ')
    const took = time ? `  ${(Number(time) / 1000).toFixed(1)} s` : ''

    if (directive) {
      print(`  skip    ${path}`)
    } else if (passed) {
      if (isFile) print(`  ok      ${path}${took}`)
    } else {
      if (isFile) totals.failedFiles.push(title)
      for (const level of open) level.failed = true
      // A test that fails because of something inside it was reported there.
      if (!closed?.failed) {
        print(`  not ok  ${path}`)
        diagnosed = indent
      } else if (isFile) {
        print(`  not ok  ${path}${took}`)
      }
    }
  }

  function readOutside (line) {
    const summary = /^# \{ total: \d+(.*) \}$/.exec(line)
    if (summary) {
      totals.complete = true
      for (const [, name, count] of summary[1].matchAll(/(pass|fail|skip|todo): (\d+)/g)) totals[name] = Number(count)
    } else if (!/^( |TAP version|1\.\.\d|# time=|# No coverage generated)/.test(line) || line.includes('|')) {
      // The row of the coverage table for all files: statements, branches, functions, lines, in per cent.
      if (/^ *All files +\|/.test(line)) totals.coverage = Math.min(...line.match(/[\d.]+(?= *\|)/g).map(Number))
      print(`  ${line}`)
    }
  }
}

/** The output of `tap run` without what it says of some files. */
export function withoutFiles (tap, files) {
  return tap.split(/^(?=# Subtest: )/m).filter(part => !files.some(file => part.startsWith(`# Subtest: ${file}\n`))).join('')
}
