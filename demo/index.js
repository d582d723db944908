import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { format, join, parse } from 'node:path'
import { pathToFileURL } from 'node:url'

import { readFlags } from '../bench/lib/flags.js'
import { run } from '../bench/lib/main.js'
import { writeReports } from '../bench/lib/report.js'
import { restartUnderLoad } from '../bench/lib/restart.js'
import { restartInPlace } from './handover.js'
import * as handoverResult from './handover-result.js'
import { createProgress } from './progress.js'
import * as restartResult from './result.js'

const restartDemo = {
  thinkTimes: [10, 400],
  intro: 'Each server is replaced twice: the successor listens, then the old instance gets SIGTERM.',
  result: restartResult,
  servers: [
    { title: 'Fastify alone', start: options => restartUnderLoad({ ...options, variant: 'bare' }) },
    { title: 'with fastify-drain', start: options => restartUnderLoad({ ...options, variant: 'fastify-drain' }) }
  ]
}

const handoverDemo = {
  thinkTimes: [100, 400],
  intro: 'Each server is replaced twice in place. Alone: the successor listens on the same socket, then the old process gets SIGTERM.\n' +
    'With fastify-drain: the process gets SIGUSR2, starts its successor, and gives it the listener and the connections.',
  result: handoverResult,
  servers: [
    { title: 'Fastify alone', start: options => restartInPlace({ ...options, hasPlugin: false }) },
    { title: 'with fastify-drain', start: options => restartInPlace({ ...options, hasPlugin: true }) }
  ]
}

const fixed = { work: 5, restarts: 2, killAfter: 5000 }

await run(async () => {
  const { handover, clients, settle, ...flags } = readFlags('Two Fastify servers, each replaced twice under keep-alive load.', {
    handover: { type: 'boolean', what: 'replace them in place, and keep the connections' },
    clients: { type: 'number', min: 1, max: 5000, default: 200, what: 'keep-alive clients, one connection each' },
    think: { type: 'numbers', min: 1, max: 5000, what: `pauses between two requests, ms, dealt out to the clients in turn (default ${restartDemo.thinkTimes}, with --handover ${handoverDemo.thinkTimes})` },
    settle: { type: 'number', min: 100, max: 10_000, default: 2000, what: 'load before and after each restart, ms' },
    report: { type: 'text', what: 'file for the report of the last drain (default one in a new temporary folder)' }
  })
  const { intro, servers, result, thinkTimes } = handover ? handoverDemo : restartDemo
  const { think = thinkTimes, report = join(await mkdtemp(join(tmpdir(), 'fastify-drain-')), 'report.json') } = flags

  writeReports(report)

  console.log(`${clients} undici keep-alive clients, GET and POST in turn, pauses of ${think.join(' and ')} ms.`)
  console.log(`${intro}\n`)

  const results = await runAll(servers, result.numbers, { ...fixed, clients, think, settle, report })

  console.log(`\n${result.table(results)}\n\n${result.sentence(results)}\n\nThe last drain of fastify-drain: ${report}, and to be seen at ${pageOf(report)}`)
  for (const { title, stderr } of results) {
    for (const text of stderr) console.error(`\nThe server '${title}' wrote:\n${text}`)
  }
  const failed = result.failures(results.at(-1))
  if (failed.length > 0) {
    console.error(`\nfastify-drain broke its promise: ${failed.join(', ')}.`)
    process.exitCode = 1
  }
})

function pageOf (report) {
  const { dir, name } = parse(report)
  return pathToFileURL(format({ dir, name, ext: '.html' }))
}

async function runAll (servers, numbers, options) {
  const progress = await createProgress(servers.map(server => server.title), numbers)
  const results = []
  try {
    for (const { title, start } of servers) {
      const onStep = (what, counts) => progress.step(title, what, counts)
      results.push({ title, ...await start({ ...options, onStep }) })
      onStep('done', results.at(-1))
    }
  } finally {
    progress.end()
  }
  return results
}
