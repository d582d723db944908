import t, { type Test } from 'tap'
import { hasIPv6 } from './helpers/drain-localhost.ts'
import { rawClient } from './helpers/raw-client.ts'
import { commandOf, endsWell, lacks, logged, permittedCommand, startInheriting, unusedPort, type Program } from './helpers/systemd.ts'
import { withoutKoffi } from './helpers/without-koffi.ts'

const skip = lacks(['python3', 'python3'])
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const host = '127.0.0.1'
const options = { idleGrace: 100, peerCloseTimeout: 100 }
const anywhere = { apps: [{ options, listen: { host, port: 0 } }] }
const listening = {}

/** What the registration or the listen() failed with; nothing is left that keeps the process, and it says so by ending. */
async function failure (t: Test, service: Program): Promise<{ code: string, message: string, name: string }> {
  const error = await service.tells({ type: 'failed' })
  t.equal(error.listening, false)
  await service.tells({ type: 'closed' })
  t.match(await service.exited, { code: 0, signal: null }, 'nothing keeps the process')
  t.notOk(service.told.some(({ type }) => type === 'listening'))
  return error
}

for (const value of ['abc', '-1', '', '99999999999']) {
  t.test(`LISTEN_FDS=${value || "''"} is refused at registration`, { skip }, async t => {
    const error = await failure(t, startInheriting(t, [listening], anywhere, { LISTEN_FDS: value }))
    t.equal(error.code, 'FST_DRAIN_INHERITED')
    t.match(error.message, /LISTEN_FDS/)
    t.ok(error.message.includes(`'${value}'`), 'the value is in the message')
  })
}

const badDescriptors = {
  file: /not a socket/,
  pipe: /not a socket/,
  connected: /not.* listening/,
  bound: /not.* listening/,
  datagram: /stream/,
  seqpacket: /stream/,
  closed: /not open|not a socket/
}
for (const [kind, wanted] of Object.entries(badDescriptors)) {
  t.test(`LISTEN_FDS that counts a descriptor which is no listening stream socket (${kind}) is refused at registration`, { skip }, async t => {
    const error = await failure(t, startInheriting(t, [listening, kind], anywhere))
    t.equal(error.code, 'FST_DRAIN_INHERITED')
    t.match(error.message, /\b4\b/, 'which one')
    t.match(error.message, wanted, 'what it is')
    t.match(error.message, /ListenStream|Accept=no|LISTEN_FDS/, 'what to do')
  })
}

for (const names of ['a', 'a:b:c']) {
  t.test(`LISTEN_FDNAMES=${names} for two descriptors is refused at registration`, { skip }, async t => {
    const error = await failure(t, startInheriting(t, [listening, listening], anywhere, { LISTEN_FDNAMES: names }))
    t.equal(error.code, 'FST_DRAIN_INHERITED')
    t.match(error.message, new RegExp(`LISTEN_FDS is 2 .*LISTEN_FDNAMES .*${names.split(':').length}`))
  })
}

t.test('a listenFdName that no descriptor has is refused, with the names that there are', { skip }, async t => {
  const plan = { apps: [{ options: { ...options, listenFdName: 'htpp' }, listen: { host, port: 0 } }] }
  const error = await failure(t, startInheriting(t, [listening, listening], plan, { LISTEN_FDNAMES: 'http:admin' }))
  t.equal(error.code, 'FST_DRAIN_INHERITED')
  for (const name of ['listenFdName', 'htpp', 'http', 'admin']) t.match(error.message, name)
})

t.test('where nothing was inherited listenFdName changes nothing: the app runs from a shell as well', { skip }, async t => {
  const plan = { apps: [{ options: { ...options, listenFdName: 'http' }, listen: { host, port: 0 } }] }
  const service = startInheriting(t, [], plan, { LISTEN_FDS: undefined, LISTEN_PID: undefined })
  t.match(await service.tells({ type: 'listening' }), { addresses: [{ address: host }] })
  await endsWell(t, service)
})

t.test('descriptors that LISTEN_PID gives to another process are left alone, and the log says so', { skip }, async t => {
  const port = await unusedPort()
  const service = startInheriting(t, [{ host, port }], { apps: [{ options, listen: { host, port } }] }, { LISTEN_PID: '1' })
  t.match(await failure(t, service), { code: 'EADDRINUSE', port }, 'it is not adopted')
  t.equal(logged(service, 'info').filter(message => /LISTEN_FDS are for process 1, this is \d+/.test(message)).length, 1)
  t.same(logged(service, 'warn'), [])
})

t.test('without koffi a listening socket is adopted, and anything else refused, as far as /proc tells', { skip }, async t => {
  const port = await unusedPort()
  const plan = { apps: [{ options, listen: { host, port } }] }
  const service = startInheriting(t, [{ host, port }], plan, {}, commandOf(withoutKoffi))
  await service.tells({ type: 'listening' })
  await service.says(`listen: on the inherited descriptor 3, ${host}:${port}`)
  await endsWell(t, service)
  const error = await failure(t, startInheriting(t, [listening, 'connected'], plan, {}, commandOf(withoutKoffi)))
  t.match(error, { code: 'FST_DRAIN_INHERITED', message: /descriptor 4 .*is not a listening stream socket/ })
})

t.test('LISTEN_FDS=0 and no LISTEN_FDS are the same: everything is bound as ever, without a word', { skip }, async t => {
  for (const env of [{ LISTEN_FDS: '0' }, { LISTEN_FDS: undefined, LISTEN_PID: undefined }]) {
    const service = startInheriting(t, [], anywhere, env)
    await service.tells({ type: 'listening' })
    await endsWell(t, service)
    t.notOk(service.lines.some(line => /LISTEN_|inherited/.test(line)))
  }
})

t.test('when the listen() of the second app fails, the first one still serves its inherited socket', { skip }, async t => {
  const port = await unusedPort()
  const service = startInheriting(t, [{ host, port }], {
    apps: [{ options, listen: { host, port } }, { options: { ...options, listenFdName: 'nowhere' }, listen: { host, port: 0 } }]
  })
  t.match(await service.tells({ type: 'failed', index: 1 }), { code: 'FST_DRAIN_INHERITED', listening: false })
  const client = await rawClient(t, { host, port })
  client.write('GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n')
  await client.until(/"index":0/)
  client.halfClose()
  await client.closed()
  await endsWell(t, service)
})

t.test('a socket on every IPv6 address, and on those only, does not serve an app that asks for an IPv4 address', { skip: skip !== false ? skip : hasIPv6() ? false : '::1 is not there' }, async t => {
  const port = await unusedPort()
  const service = startInheriting(t, [{ host: '::', port, ipv6_only: true }], { apps: [{ options, listen: { host, port } }] })
  t.match(await service.tells({ type: 'listening' }), { addresses: [{ address: host, port }] })
  await rawClient(t, { host, port })
  await service.says(`nobody has asked for the inherited listener 3, [::]:${port}`)
  await endsWell(t, service)
})

t.test('after a listen() that failed the app can listen on its inherited socket', { skip }, async t => {
  const port = await unusedPort()
  const service = startInheriting(t, [{ host, port }], { apps: [{ options, first: { path: '/nowhere/socket' }, listen: { host, port } }] })
  await service.tells({ type: 'first', code: 'EACCES' })
  t.match(await service.tells({ type: 'listening' }), { addresses: [{ address: host, port }] })
  await endsWell(t, service)
})

t.test('under the permission model a descriptor that nobody may look at is refused, and what would allow it is said', { skip }, async t => {
  const port = await unusedPort()
  const plan = { apps: [{ options, listen: { host, port } }] }
  const error = await failure(t, startInheriting(t, [{ host, port }], plan, {}, permittedCommand()))
  t.match(error, { code: 'FST_DRAIN_INHERITED', message: /descriptor 3 .*--allow-addons.*--allow-fs-read=\/proc/ })

  const service = startInheriting(t, [{ host, port }], plan, {}, permittedCommand(['--allow-fs-read=/proc']))
  t.match(await service.tells({ type: 'listening' }), { addresses: [{ address: host, port }] })
  await endsWell(t, service)
})
