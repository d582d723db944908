import { readFileSync } from 'node:fs'
import t from 'tap'
import { checkNode } from '../../lib/node-version.ts'

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

t.test('Node is accepted from the version on that package.json asks for', async t => {
  const [major, minor] = /^>=(\d+)\.(\d+)$/.exec(engines.node)?.slice(1).map(Number) as [number, number]
  for (const version of [`${major}.${minor}.0`, `${major}.${minor + 1}.5`, `${major + 1}.0.0`, process.versions.node]) {
    t.doesNotThrow(() => checkNode(version), version)
  }
  for (const version of [`${major}.${minor - 1}.3`, `${major - 2}.${minor + 1}.0`]) {
    t.throws(() => checkNode(version), {
      code: 'FST_DRAIN_NODE_VERSION',
      message: `fastify-drain: needs Node.js ${major}.${minor} or later, and this is ${version}: without that SIGTERM would end the process, and nothing would be drained; update Node.js`
    }, version)
  }
})
