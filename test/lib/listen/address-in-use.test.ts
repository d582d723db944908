import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { explainInUse } from '../../../lib/listen/address-in-use.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { fsError, replaceFs } from '../../helpers/unit-fs.ts'

type InUse = Parameters<typeof explainInUse>[0]

const skip = process.platform === 'linux' ? false : 'there is no /proc here'

async function taken (t: { teardown (fn: () => unknown): void }, host: string): Promise<number> {
  const server = createServer()
  await once(server.listen(0, host), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function listenTo (options: { host?: string, port: number, path?: string }): Promise<InUse> {
  const server = createServer()
  server.on('listening', () => server.close())
  const [error] = await Promise.all([new Promise<InUse>(resolve => server.once('error', resolve)), server.listen(options)])
  return error
}

function inUse (given: Partial<InUse>): InUse {
  return Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE', ...given })
}

t.test('the error names the process that has the port', { skip }, async t => {
  const port = await taken(t, '127.0.0.1')
  const error = await listenTo({ host: '127.0.0.1', port })
  // Some of Node's flags format the stack when it is first read.
  const { message, stack } = error
  t.match(stack, message)
  explainInUse(error)
  t.match(error, { code: 'EADDRINUSE', address: '127.0.0.1', port, owner: { pid: process.pid, command: /node[^ ]*$/ } })
  t.equal(error.message, `${message}; process ${process.pid} listens there (${error.owner?.command})`)
  t.match(error.stack, error.message)
  t.equal(error.stack?.indexOf(message), error.stack?.lastIndexOf(message), 'the stack says it once')
})

for (const [listens, wanted] of [
  ['0.0.0.0', '127.0.0.1'],
  ['127.0.0.1', '0.0.0.0'],
  ['::', '127.0.0.1'],
  ['::', '0.0.0.0'],
  ['127.0.0.1', '::'],
  ['::1', '0:0:0:0:0:0:0:1'],
  ['127.0.0.1', 'localhost'],
  ['127.0.0.1', undefined]
] as const) {
  t.test(`who listens on ${listens} is in the way of ${wanted}`, { skip: hasIPv6() ? skip : 'there is no ::1 here' }, async t => {
    const error = inUse({ port: await taken(t, listens), ...(wanted === undefined ? {} : { address: wanted }) })
    explainInUse(error)
    t.equal(error.owner?.pid, process.pid)
  })
}

t.test('who listens on another address, or another port, is in nobody\'s way', { skip }, async t => {
  const port = await taken(t, '127.0.0.2')
  for (const given of [{ address: '127.0.0.1', port }, { address: '127.0.0.2', port: port === 1 ? 2 : port - 1 }]) {
    const error = inUse(given)
    explainInUse(error)
    t.equal(error.message, 'listen EADDRINUSE')
    t.notOk('owner' in error)
  }
})

t.test('other errors, and those of Unix sockets, stay as they are', { skip }, async t => {
  const port = await taken(t, '127.0.0.1')
  for (const error of [inUse({ code: 'EACCES', address: '127.0.0.1', port }), inUse({ address: '/run/socket' })]) {
    explainInUse(error)
    t.equal(error.message, 'listen EADDRINUSE')
    t.notOk('owner' in error)
  }
})

t.test('an owner whose command may not be read is named without it', { skip }, async t => {
  const port = await taken(t, '127.0.0.1')
  replaceFs(t, { [`/proc/${process.pid}/cmdline`]: fsError('EACCES') })
  const error = inUse({ address: '127.0.0.1', port })
  delete (error as Partial<Error>).stack
  explainInUse(error)
  t.equal(error.message, `listen EADDRINUSE; process ${process.pid} listens there`)
  t.strictSame(error.owner, { pid: process.pid, command: '' })
})

t.test('where /proc does not tell the error stays as it is', { skip }, async t => {
  const port = await taken(t, '127.0.0.1')
  const contents = { '/proc': [] as string[] }
  replaceFs(t, contents)
  const nobody = inUse({ address: '127.0.0.1', port })
  explainInUse(nobody)
  t.notOk('owner' in nobody)

  replaceFs(t, { '/proc/net/tcp': fsError('EACCES') })
  const denied = inUse({ address: '127.0.0.1', port })
  explainInUse(denied)
  t.equal(denied.message, 'listen EADDRINUSE')
  t.notOk('owner' in denied)
})
