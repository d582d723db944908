// A server process that speaks HTTP/2: it inherits the listening socket as descriptor 3 and the ledger as 4, and takes its orders over IPC.
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { buildApp } from './app.js'
import { answerOrders } from './orders.js'

const ledger = 4
const [variant, protocol] = process.argv.slice(2)
const app = buildApp({ protocol })
app.addHook('preHandler', async ({ headers }) => {
  // Whatever happens to this process next, it is known that this request was executed.
  writeSync(ledger, `${headers['x-id']}\n`)
  await sleep(Number(headers['x-work']))
})

answerOrders({ load, listen })
// Until it listens, only this keeps the process alive: the channel must not be what holds a drained server.
const awake = setInterval(() => {}, 60_000)
process.channel.unref()

async function load () {
  const { install } = await import(`../variants/${variant}.js`)
  await install(app)
  await app.ready()
}

async function listen () {
  await app.listen({ fd: 3, host: '127.0.0.1' })
  clearInterval(awake)
}
