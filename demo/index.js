import { readFlags } from '../bench/lib/flags.js'
import { run } from '../bench/lib/main.js'
import { restartUnderLoad } from '../bench/lib/restart.js'
import { createProgress } from './progress.js'
import { failures, sentence, table } from './result.js'

const servers = [
  { variant: 'bare', title: 'Fastify alone' },
  { variant: 'fastify-drain', title: 'with fastify-drain' }
]
const fixed = { work: 5, restarts: 2, settle: 2000, killAfter: 5000 }

await run(async () => {
  const { clients, think } = readFlags('Two Fastify servers, each replaced twice by SIGTERM under keep-alive load.', {
    clients: { type: 'number', min: 1, max: 5000, default: 200, what: 'keep-alive clients, one connection each' },
    think: { type: 'numbers', min: 1, max: 5000, default: [10, 400], what: 'pauses between two requests, ms, dealt out to the clients in turn' }
  })

  console.log(`${clients} undici keep-alive clients, GET and POST in turn, pauses of ${think.join(' and ')} ms.`)
  console.log('Each server is replaced twice: the successor listens, then the old instance gets SIGTERM.\n')

  const results = await runAll({ ...fixed, clients, think })

  console.log(`\n${table(results)}\n\n${sentence(results)}`)
  for (const { title, stderr } of results) {
    for (const text of stderr) console.error(`\nThe server '${title}' wrote:\n${text}`)
  }
  const failed = failures(results.at(-1))
  if (failed.length > 0) {
    console.error(`\nfastify-drain broke its promise: ${failed.join(', ')}.`)
    process.exitCode = 1
  }
})

async function runAll (options) {
  const progress = await createProgress(servers.map(server => server.title))
  const results = []
  try {
    for (const { variant, title } of servers) {
      const onStep = (what, counts) => progress.step(title, what, counts)
      results.push({ title, ...await restartUnderLoad({ ...options, variant, onStep }) })
      onStep('done', results.at(-1))
    }
  } finally {
    progress.end()
  }
  return results
}
