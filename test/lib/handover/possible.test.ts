import t from 'tap'
import { surroundings, whyImpossible, type Surroundings } from '../../../lib/handover/possible.ts'

const good: Surroundings = { platform: 'linux', pid: 4711, isMainThread: true, init: null }

t.test('a process of its own can hand over, on Linux and macOS, and as a child of a process 1 that outlives it', async t => {
  t.equal(whyImpossible(good), null)
  t.equal(whyImpossible({ ...good, platform: 'darwin' }), null)
  for (const init of ['systemd', 'init', 'launchd', 's6-svscan', 'runsvdir', 'supervisord', 'shepherd']) t.equal(whyImpossible({ ...good, init }), null, init)
})

const impossible: Record<string, [Partial<Surroundings>, RegExp]> = {
  Windows: [{ platform: 'win32' }, /^Windows cannot.*; .*load balancer/],
  'a worker thread': [{ isMainThread: false }, /worker thread; .*main thread/],
  'process 1': [{ pid: 1 }, /process 1, .*container ends.*; .*SIGTERM.*service manager/]
}
for (const init of ['tini', 'docker-init', 'dumb-init', 'catatonit', 'sh', 'bash', 'dash', 'npm', 'npm run start']) {
  impossible[`a child of ${init} as process 1`] = [{ init }, new RegExp(`process 1 is ${init}, which ends.*; .*SIGTERM.*service manager`)]
}
for (const [name, [change, wanted]] of Object.entries(impossible)) {
  t.test(`${name} cannot, and is told what to do instead`, async t => {
    t.match(whyImpossible({ ...good, ...change }), wanted)
  })
}

t.test('the surroundings are those of this process', async t => {
  const { platform, pid, isMainThread } = surroundings
  t.same({ platform, pid, isMainThread }, { platform: process.platform, pid: process.pid, isMainThread: true })
  t.equal(typeof surroundings.init === 'string', process.ppid === 1)
})
