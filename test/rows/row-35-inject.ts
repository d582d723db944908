import { testApp } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'

export default {
  number: 35,
  situation: '`app.inject()` only, never listening',
  expected: 'close() is immediate; no signal handler installed',
  tests: {
    'an app that is only used with inject() closes at once, without handlers and without a line in its log': async (t, server) => {
      const handlers = (): number => ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection'].map(name => process.listenerCount(name)).reduce((a, b) => a + b)
      const before = handlers()
      const lines: string[] = []
      const { app } = await testApp(t, { signals: ['SIGTERM', 'SIGINT'], shutdownDelay: 5000 }, {
        ...server.options, logger: { level: 'info', stream: { write (line: string) { lines.push(JSON.parse(line).msg) } } }
      })
      app.get('/', async () => 'hello')
      t.equal((await app.inject('/')).body, 'hello')
      t.equal(handlers(), before)
      await app.close()
      t.match(app.drain.report, { connections: { total: 0 } })
      t.ok((app.drain.report?.duration ?? Infinity) < 2000)
      t.same(lines.filter(line => /drain/.test(line)), [])
    }
  }
} satisfies Row
