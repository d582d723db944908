import t from 'tap'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a program that imports the built package by its name, as a user would. */
async function evaluate (type: 'module' | 'commonjs', program: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [`--input-type=${type}`, '--eval', program], { cwd: root })
  return JSON.parse(stdout)
}

t.test('every way to import the package gives the same function', async t => {
  t.same(await evaluate('module', `
    import drain, { fastifyDrain } from 'fastify-drain'
    import * as all from 'fastify-drain'
    const dynamic = await import('fastify-drain')
    const same = [drain, fastifyDrain, all.default, all.fastifyDrain, dynamic.default, dynamic.fastifyDrain]
    console.log(JSON.stringify({ type: typeof drain, same: same.every(each => each === drain), names: Object.keys(all) }))
  `), { type: 'function', same: true, names: ['default', 'fastifyDrain'] })
})

t.test('every way to require the package gives the same function', async t => {
  t.same(await evaluate('commonjs', `
    const drain = require('fastify-drain')
    const { fastifyDrain, default: byDefault } = require('fastify-drain')
    const same = [drain.default, drain.fastifyDrain, fastifyDrain, byDefault]
    console.log(JSON.stringify({ type: typeof drain, same: same.every(each => each === drain) }))
  `), { type: 'function', same: true })
})

for (const type of ['module', 'commonjs'] as const) {
  t.test(`the ${type} build registers in an app`, async t => {
    const load = (name: string) => type === 'module' ? `(await import('${name}')).default` : `require('${name}')`
    t.same(await evaluate(type, `(async () => {
      const app = ${load('fastify')}()
      await app.register(${load('fastify-drain')})
      const { phase } = app.drain
      await app.close()
      console.log(JSON.stringify(phase))
    })()`), 'serving')
  })
}

for (const type of ['module', 'commonjs'] as const) {
  t.test(`the part for the primary of a cluster is there (${type})`, async t => {
    const load = type === 'module' ? 'await import' : 'require'
    t.same(await evaluate(type, `(async () => {
      console.log(JSON.stringify(Object.entries(${load}('fastify-drain/cluster')).map(([name, value]) => [name, typeof value]).filter(([name]) => name !== '__esModule')))
    })()`), [['replaceWorker', 'function']])
  })
}
