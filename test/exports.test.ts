import t from 'tap'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { without } from './helpers/without-koffi.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a program that imports the built package by its name, as a user would. */
async function evaluate (type: 'module' | 'commonjs', program: string, flags: string[] = []): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, `--input-type=${type}`, '--eval', program], { cwd: root })
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

const load = { module: 'await import', commonjs: 'require' } as const
const plugin = { module: "(await import('fastify-drain')).default", commonjs: "require('fastify-drain')" } as const
const peers = { prometheus: 'prom-client', opentelemetry: '@opentelemetry/api' } as const

for (const type of ['module', 'commonjs'] as const) {
  t.test(`fastify-drain/prometheus and fastify-drain/opentelemetry measure an app (${type})`, async t => {
    t.same(await evaluate(type, `(async () => {
      const parts = [${load[type]}('fastify-drain/prometheus'), ${load[type]}('fastify-drain/opentelemetry')]
      const app = (${load[type]}('fastify')).default()
      await app.register(${plugin[type]}, { signals: false })
      for (const { drainMetrics } of parts) await app.register(drainMetrics)
      const { register } = ${load[type]}('prom-client')
      const metrics = await register.metrics()
      await app.close()
      const names = parts.flatMap(part => Object.keys(part).filter(name => name !== '__esModule'))
      console.log(JSON.stringify([names, metrics.includes('fastify_drain_phase{phase="serving"} 1')]))
    })()`), [['drainMetrics', 'drainMetrics'], true])
  })

  for (const [subpath, peer] of Object.entries(peers)) {
    t.test(`where ${peer} is missing the plugin works, and fastify-drain/${subpath} says what to install (${type})`, async t => {
      t.match(await evaluate(type, `(async () => {
        const app = (${load[type]}('fastify')).default()
        await app.register(${plugin[type]}, { signals: false })
        const { phase } = app.drain
        const { drainMetrics } = ${load[type]}('fastify-drain/${subpath}')
        app.register(drainMetrics).ready(error => console.log(JSON.stringify([phase, error?.code, error?.message])))
      })()`, without(peer)), [
        'serving', 'FST_DRAIN_MISSING_PEER', new RegExp(`fastify-drain/${subpath} needs a package that cannot be loaded \\(Cannot find (package|module) '${peer}'\\); run \`npm install ${peer}\``)
      ])
    })
  }
}

t.test('neither the plugin nor anything that it loads asks for prom-client or @opentelemetry/api', async t => {
  t.same(await evaluate('commonjs', `
    const Module = require('node:module')
    const asked = new Set()
    const { _load } = Module
    Module._load = function (name, ...rest) { asked.add(name); return _load.call(this, name, ...rest) }
    const drain = require('fastify-drain')
    const app = require('fastify')()
    app.register(drain, { signals: false })
    app.ready().then(() => app.close()).then(() => {
      console.log(JSON.stringify([...asked].filter(name => /prom-client|opentelemetry|prometheus/.test(name))))
    })
  `), [])
})
