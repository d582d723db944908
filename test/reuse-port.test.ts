import { existsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { FastifyDrainOptions } from '../index.ts'
import { nodeSharesPorts } from '../lib/listen/listeners.ts'
import { testApp } from './helpers/app.ts'
import {
  halfOpenClient, listeners, locked, missingForNamespace, serverAddress, startLoad, startMember, startNamespace,
  type Counts, type Load, type Member
} from './helpers/reuse-port.ts'
import { withoutKoffi } from './helpers/without-koffi.ts'

const skip = missingForNamespace()
// Where everything has to be tested, a missing tool is a failure.
if (skip !== false && process.env.CI === 'true') t.fail(skip)

// How long a member sleeps before its listener closes, in ms: long enough that somebody would connect to it meanwhile.
const stall = 20
const ipv4 = '127.0.0.1'
// Loops of new connections, where nothing is proved by their number.
const few = 2

t.test('row 18: http: processes that share a port', { skip }, async t => {
  const namespace = await startNamespace(t)
  const [load, ...members] = await Promise.all([
    startLoad(namespace), ...['a', 'b', 'c', 'd', 'e'].map(name => startMember(namespace, name, { stall }))
  ])
  const [a, b, c, d, e] = members as [Member, Member, Member, Member, Member]

  for (const migrate of [false, true]) {
    for (const { host, to, what } of [
      { host: ipv4, to: ipv4, what: 'IPv4' },
      { host: '::1', to: '::1', what: 'IPv6' },
      { host: '::', to: ipv4, what: 'a dual-stack listener, over IPv4' }
    ]) {
      t.test(`row 18: http: leaving loses nothing, from every slot of the group: ${what}, tcp_migrate_req ${migrate ? 1 : 0}`, async t => {
        namespace.migrate(migrate)
        const group = await startGroup(t, { load, host, to: [to] }, [a, b, c, d])
        // The last slot moves into the one that gets free; whoever joins is the last.
        await group.leaves('a slot in the middle of four', b)
        await group.leaves('the last slot of three', c)
        await group.join(b)
        await group.leaves('a slot in the middle of three', d)
        await group.leaves('the first slot of two', a)
        await group.join(c)
        await group.leaves('the last slot of two', c)
        await group.join(e)
        await group.join(d)
        await group.leaves('the first slot of three', b)
        await group.join(a, c)
        await group.leaves('the first slot of four', d)
        await group.join(d)
        await group.leaves('the last slot of four', d)
        await group.ends()
      })
    }
  }
  t.test('tcp_migrate_req is as the kernel has it by default again', async () => namespace.migrate(false))

  t.test('row 18: http: members that leave at the same time lose nothing', async t => {
    const group = await startGroup(t, { load }, [a, b, c, d, e])
    await group.leaves('first, middle and last slots, at once', a, c, e)
    await group.join(a, c)
    await group.leaves('the first two of four, at once', b, d)
    await group.ends()
  })

  t.test('row 18: http: both servers of localhost leave without a loss', async t => {
    const group = await startGroup(t, { load, host: 'localhost', to: [ipv4, '::1'] }, [a, b, c])
    t.equal(listeners(namespace, group.port), 6)
    await group.leaves('the first slot of both groups', a)
    await group.leaves('the last slot of both groups', b)
    t.equal(listeners(namespace, group.port), 2)
    await group.ends()
  })

  t.test('row 18: http: link-local addresses with a scope can be shared', async t => {
    const host = serverAddress.linkLocal
    const group = await startGroup(t, { load, host, to: [host] }, [a, b, c])
    await group.leaves('the first slot', a)
    await group.leaves('the last slot', b)
    await group.ends()
  })

  t.test('row 18: http: members leave a group in which somebody knows nothing of the plugin', async t => {
    const group = await startGroup(t, { load, foreign: e }, [a, b])
    await group.leaves('the last slot, the stranger has the first', b)
    await group.join(b)
    await group.leaves('a slot in the middle', a)
    await group.leaves('the last slot of two', b)
    await group.ends()
    await e.stopForeign()
  })

  for (const [family, slot] of [['ipv4', 'first'], ['ipv6', 'last']] as const) {
    t.test(`row 18: http: handshakes that have begun are completed by the leaver, and no new ones come to it: ${family}, the ${slot} slot`, async t => {
      const host = serverAddress[family]
      const group = await startGroup(t, { load, host, to: [host], loops: few }, slot === 'first' ? [a, b] : [b, a])
      const halfOpen = await halfOpenClient(namespace, family, group.port)
      await halfOpen.begin(40)
      await a.slowDown(t)
      const leaving = group.leaves(`the ${slot} slot, with handshakes half done`, a)
      await locked(namespace, group.port)
      t.ok(await isSteeredAway(load, a), 'new connections come to the other one')
      t.equal(listeners(namespace, group.port), 2, 'while the leaver still listens')
      const { states, bodies } = await halfOpen.finish()
      t.same(states, { answered: 40 })
      t.same([...new Set(bodies)].sort(), ['a', 'b'])
      await leaving
      await group.ends()
    })
  }

  t.test('row 18: http: whoever joins while somebody leaves gets its share, too', async t => {
    const group = await startGroup(t, { load, host: serverAddress.ipv4, to: [serverAddress.ipv4], loops: few }, [a, b])
    const halfOpen = await halfOpenClient(namespace, 'ipv4', group.port)
    await halfOpen.begin(40)
    await b.slowDown(t)
    const leaving = b.leave()
    await locked(namespace, group.port)
    await c.listen({ host: serverAddress.ipv4, port: group.port })
    t.same((await halfOpen.finish()).states, { answered: 40 })
    await leaving
    await group.isFair('c has joined meanwhile', [a, c])
    await group.ends()
  })

  t.test('row 18: http: handshakes that nobody completes hold up the leaver for a short time only', async t => {
    const group = await startGroup(t, { load, host: serverAddress.ipv4, to: [serverAddress.ipv4], loops: few }, [a, b])
    const halfOpen = await halfOpenClient(namespace, 'ipv4', group.port)
    await halfOpen.begin(40)
    const { duration } = await a.leave()
    t.ok(duration > 1000 && duration < 5000, `${duration} ms: more than a packet that is sent again, less than a deadline`)
    await group.isFair('a has left', [b])
    await group.ends()
  })

  t.test('row 18: http: a stranger that resets the connection by which the leaver finds out its slot does no harm', async t => {
    const port = await a.listen({ host: serverAddress.ipv4, port: 0 })
    await e.listenForeign({ host: serverAddress.ipv4, port }, 50)
    const halfOpen = await halfOpenClient(namespace, 'ipv4', port)
    await halfOpen.begin(40)
    t.equal((await a.leave()).connections.cut, 0)
    t.equal(listeners(namespace, port), 1)
    await e.stopForeign()
  })

  t.test('row 18: http: a hard stop does not wait for handshakes, and frees the lock of the group', async t => {
    const group = await startGroup(t, { load, host: serverAddress.ipv4, to: [serverAddress.ipv4] }, [a, b])
    await group.join(c, { hardStopAfter: 200 })
    const halfOpen = await halfOpenClient(namespace, 'ipv4', group.port)
    await halfOpen.begin(60)
    const { duration } = await c.leave()
    t.ok(duration < 1400, `${duration} ms, less than handshakes are waited for`)
    await halfOpen.finish()
    // What was half done at c is lost, and so may be what came to it while it was cut.
    await load.stop()
    await load.start({ hosts: [serverAddress.ipv4], port: group.port }, few)
    await group.isFair('c has left', [a, b])
    await group.leaves('the first slot', a)
    await group.ends()
  })

  for (const slot of ['first', 'last'] as const) {
    t.test(`row 18: http: a member that is killed while it leaves the ${slot} slot frees the lock of the group, and takes nothing with it`, async t => {
      const victim = await startMember(namespace, 'victim', { stall })
      const order = slot === 'first' ? [victim, a, b] : [a, b, victim]
      const group = await startGroup(t, { load, host: serverAddress.ipv4, to: [serverAddress.ipv4], loops: few }, order)
      const halfOpen = await halfOpenClient(namespace, 'ipv4', group.port)
      await halfOpen.begin(60)
      await victim.slowDown(t)
      const leaving = t.rejects(victim.leave(), 'it ends in the middle')
      await locked(namespace, group.port)
      t.ok(await isSteeredAway(load, victim), 'it is in the middle of it')
      await load.stop()
      t.same(await victim.kill('SIGKILL'), { code: null, signal: 'SIGKILL' })
      await leaving
      await halfOpen.finish()

      await load.start({ hosts: [serverAddress.ipv4], port: group.port }, few)
      await group.isFair('the victim is gone', [a, b])
      const { duration } = await b.leave()
      t.ok(duration < 4000, `${duration} ms: nobody holds the lock`)
      await group.isFair('b has left', [a])
      await group.ends()
    })
  }

  t.test('a port that the kernel chooses is nobody else\'s', async t => {
    const port = await a.listen({ host: ipv4, port: 0 })
    const other = await b.listen({ host: ipv4, port: 0 })
    t.not(other, port)
    t.equal(await c.listen({ host: ipv4, port }), port)
    t.equal(listeners(namespace, port), 2)
    await Promise.all([a, b, c].map(member => member.leave()))
    t.equal(listeners(namespace, port), 0)
  })

  t.test('a host name that does not exist is an error, as without reusePort', async t => {
    await t.rejects(a.listen({ host: 'no-such-host.invalid', port: 0 }), { code: /^(ENOTFOUND|EAI_AGAIN)$/ })
  })

  t.test('without koffi a port is shared where Node can do it, and one warning says what is missing', async t => {
    const [first, second] = await Promise.all(['first', 'second'].map(name => startMember(namespace, name, { nodeArgs: withoutKoffi }))) as [Member, Member]
    const port = await first.listen({ host: ipv4, port: 0 })
    if (nodeSharesPorts) {
      await second.listen({ host: ipv4, port })
      t.equal(listeners(namespace, port), 2)
      await second.leave()
    } else {
      await t.rejects(second.listen({ host: ipv4, port }), { code: 'EADDRINUSE', address: ipv4, port })
    }
    t.equal(listeners(namespace, port), 1)
    await first.leave()
    const warnings = (await first.logged()).filter(({ level }) => level === 40).map(({ msg }) => msg)
    t.equal(warnings.length, 1)
    t.match(warnings[0], nodeSharesPorts ? /koffi.*reusePort cannot send new connections to the others/ : /koffi.*reusePort is not set/)
  })

  t.test('nobody was warned of anything', async t => {
    for (const member of members) t.same((await member.logged()).filter(({ level }) => level > 30), [])
  })

  t.test('row 18: http: SIGTERM, one process after the other, loses nothing', async t => {
    const group = await startGroup(t, { load, options: { signals: ['SIGTERM'] } }, [d, e])
    await group.join(a)
    t.same(await d.kill('SIGTERM'), { code: 0, signal: null })
    await group.isFair('the oldest one is gone', [a, e])
    await group.join(b)
    t.same(await e.kill('SIGTERM'), { code: 0, signal: null })
    await group.isFair('the next one is gone', [a, b])
    await group.ends()
  })
})

t.test('a Unix socket cannot be shared: listen() is refused, and nothing is bound', async t => {
  const { app } = await testApp(t, { reusePort: true })
  const path = join(t.testdir(), 'socket')
  await t.rejects(app.listen({ path }), { code: 'FST_DRAIN_REUSE_PORT', message: /reusePort/ })
  t.notOk(app.server.listening)
  t.notOk(existsSync(path))
})

t.test('a port of somebody who does not share it gives EADDRINUSE, with address and port', async t => {
  const other = createServer()
  t.teardown(() => other.close())
  await once(other.listen(0, ipv4), 'listening')
  const { port } = other.address() as AddressInfo
  const { app } = await testApp(t, { reusePort: true })
  await t.rejects(app.listen({ host: ipv4, port }), { code: 'EADDRINUSE', address: ipv4, port, syscall: 'listen' })
  t.notOk(app.server.listening)
})

interface GroupOptions {
  load: Load
  host?: string
  /** Where clients connect to. */
  to?: string[]
  options?: FastifyDrainOptions
  /** Has the first slot, without the plugin. */
  foreign?: Member
  loops?: number
}

interface Group {
  port: number
  /** New members. */
  join (...members: [...Member[], FastifyDrainOptions] | Member[]): Promise<void>
  leaves (slot: string, ...members: Member[]): Promise<void>
  /** From now on these are the members: each of them gets a share of new connections, nobody else does, and nothing has been lost. */
  isFair (what: string, members: Member[]): Promise<void>
  ends (): Promise<void>
}

/** A group under load. After every change each member gets its share, and nothing is ever lost. */
async function startGroup (t: Test, { load, host = ipv4, to = [ipv4], options = {}, foreign, loops = 12 }: GroupOptions, first: Member[]): Promise<Group> {
  let members: Member[] = []
  let port = 0
  if (foreign !== undefined) {
    port = await foreign.listenForeign({ host, port })
    members.push(foreign)
  }
  for (const member of first) {
    port = await member.listen({ host, port }, options)
    members.push(member)
  }
  await load.start({ hosts: to, port }, loops)

  const group: Group = {
    port,
    async join (...joiners) {
      const own = joiners.filter(joiner => !('name' in joiner))[0] ?? {}
      for (const joiner of joiners) {
        if (!('name' in joiner)) continue
        await (joiner as Member).listen({ host, port }, own as FastifyDrainOptions)
        members.push(joiner as Member)
      }
      await group.isFair(`${members.at(-1)?.name} has joined as member ${members.length}`, members)
    },
    async leaves (slot, ...leavers) {
      const reports = await Promise.all(leavers.map(leaver => leaver.leave()))
      for (const { connections } of reports) t.same([connections.cut, connections['timed-out']], [0, 0])
      await group.isFair(`${leavers.map(({ name }) => name)} left ${slot}`, members.filter(member => !leavers.includes(member)))
    },
    async isFair (what, now) {
      members = now
      fair(t, await load.more(50 * members.length), members, what)
    },
    async ends () {
      t.same((await load.stop()).failed, {}, 'no connection was refused, reset or without an answer')
      for (const member of members) if (member !== foreign) await member.leave()
    }
  }
  return group
}

/** Whether soon nobody comes to this member any more. */
async function isSteeredAway (load: Load, { name }: Member): Promise<boolean> {
  for (let i = 0; i < 50; i++) {
    const { answered } = await load.more(10)
    if (!(name in answered)) return true
  }
  return false
}

function fair (t: Test, { answered, failed }: Counts, members: Member[], what: string): void {
  const even = Object.values(answered).reduce((sum, count) => sum + count, 0) / members.length
  t.same(failed, {}, `${what}: nothing is lost`)
  t.same(Object.keys(answered).sort(), members.map(({ name }) => name).sort(), `${what}: every member gets connections, and nobody else`)
  t.ok(Math.min(...Object.values(answered)) > even * 0.35, `${what}: everybody gets a share, ${JSON.stringify(answered)}`)
}
