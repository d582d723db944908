// The long version of test/interop-proxies.test.ts, as a table: node test/interop/proxies/table.ts [users] [restarts] [title]
import { restartBehindProxies, type Row } from './restart.ts'
import { secureVariants, variants } from './variants.ts'

const [users = '32', restarts = '6', wanted = ''] = process.argv.slice(2)
const thinkTimes = [1, 10, 50, 1000]

console.log('| proxy, its clients | think, ms | sent | lost | retried by the proxy | came to a server twice | errors |')
console.log('| --- | --- | --- | --- | --- | --- | --- |')
for (const variant of [...variants, ...secureVariants].filter(({ title }) => title.includes(wanted))) {
  for (const think of thinkTimes) {
    const ends: Array<() => unknown> = []
    try {
      const { rows } = await restartBehindProxies({ teardown: end => ends.push(end) }, [variant], {
        users: Number(users), think, restarts: Number(restarts), settle: 1200
      })
      for (const row of rows) console.log(line(row, think))
    } finally {
      for (const end of ends.reverse()) await end()
    }
  }
}

function line ({ title, sent, lost, retried, receivedTwice, errors }: Row, think: number): string {
  const errorsInWords = Object.entries(errors).map(([name, times]) => `${times} ${name}`).join(', ')
  return `| ${title} | ${think} | ${sent} | ${lost} | ${retried ?? 'not told'} | ${receivedTwice} | ${errorsInWords} |`
}
