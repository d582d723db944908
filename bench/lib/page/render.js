import { draw } from './charts.js'
import { anchor, section, table } from './markdown.js'

/**
 * Makes the page of these results.
 *
 * @param {object} results what results.json has
 * @param {Record<string, object>} parts
 * @returns {Promise<{ markdown: string, charts: Record<string, string>, missed: string[] }>} `charts`: SVG documents by file name;
 *   `missed`: targets that were not reached and parts that failed, in words
 */
export async function render (results, parts) {
  const known = Object.keys(parts).filter(name => results.parts[name] !== undefined)
  const sections = []
  const failures = []
  const charts = {}
  for (const name of known) {
    const { data, error } = results.parts[name]
    try {
      if (error !== undefined) throw new Error(error)
      const made = parts[name].section(data)
      const drawn = {}
      for (const { file, spec } of made.charts) drawn[file] = await draw(spec)
      Object.assign(charts, drawn)
      sections.push(made)
    } catch (error) {
      failures.push({ name, title: parts[name].title, why: error.message })
    }
  }
  const targets = sections.flatMap(({ targets }) => targets)
  const missed = [
    ...targets.filter(({ reached }) => reached === false).map(({ what, measured }) => `${what}: ${measured}`),
    ...sections.flatMap(({ title, failures = [] }) => failures.map(failure => `${title}: ${failure}`)),
    ...failures.map(({ name, why }) => `${name} has failed: ${why}`)
  ]
  const notRun = Object.keys(parts).filter(name => !known.includes(name))
  return { markdown: page({ results, parts, known, sections, failures, targets, notRun }), charts, missed }
}

function page ({ results, parts, known, sections, failures, targets, notRun }) {
  return `${[
    '# Benchmarks',
    '<!-- Made by `npm run bench`: do not edit. -->',
    introduction(results),
    ...failures.map(({ title, why }) => `**Failed: ${title}.** ${oneLine(why)}`),
    ...notRun.length > 0 ? [`Not run: ${notRun.map(name => parts[name].title).join(', ')}.`] : [],
    '## What it must reach',
    'Computed from the data below. Promises are judged by the worst round, comparisons with another server by the median.',
    table(['what', 'target', 'measured: median / worst', 'judged by', 'reached'], targets.map(({ what, target, measured, by, reached }) => [
      what, target, measured, by, reached === null ? 'not measured' : reached ? 'yes' : '**no**'
    ])),
    '## The machine',
    machine(results.machine),
    table(['part', 'began (UTC)', 'took', 'load average before', 'commands'], known.map(name => partRow(name, results.parts[name], parts[name]))),
    ...sections.map(section)
  ].join('\n\n')}\n`
}

function introduction ({ quick }) {
  const what = 'All of this comes from one run of `npm run bench`, which measures every server in [`bench/variants`](../../bench/variants) where it applies, in rounds that begin with another one each. ' +
    'Given are the median of the rounds and the worst of them; [bench/README.md](../../bench/README.md) says how each is measured, and [results.json](results.json) has what this page is made of.'
  return quick ? `**This was a quick run (\`--quick\`), with few rounds and short ones: it shows that the benches work, not what the servers do.**\n\n${what}` : what
}

function machine ({ cpu, cores, memory, kernel, node, fastify, plugin, date }) {
  return `${cpu}, ${cores} cores, ${memory} of memory, ${kernel}; Node ${node}, Fastify ${fastify}, fastify-drain ${plugin}; ${date}.`
}

function partRow (name, { began, seconds, load, commands }, { title }) {
  return [`[${title}](${anchor(title)})`, began.slice(0, 16).replace('T', ' '), `${Math.floor(seconds / 60)} min ${seconds % 60} s`, load.toFixed(2), commands.map(command => `\`${command}\``).join('\n')]
}

function oneLine (text) {
  return text.replace(/\s+/g, ' ').slice(0, 400)
}
