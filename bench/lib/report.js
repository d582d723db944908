import { resolve } from 'node:path'

const variable = 'BENCH_REPORT'

/** The flag with which a bench keeps the report of the last drain. */
export const reportFlag = { type: 'text', what: 'file for the report of the last drain of fastify-drain' }

/** Servers of fastify-drain that are started from now on write the report of their drain; the last one stays. */
export function writeReports (file) {
  process.env[variable] = resolve(file)
}

/** The same where the flag was given; says where it is when the bench is over. */
export function keepReport (file) {
  if (file === undefined) return
  writeReports(file)
  process.once('exit', () => console.log(`\nThe report of the last drain of fastify-drain is in ${file}, and its page beside it.`))
}

/** The option `report` of the plugin, in a server. */
export function reportOption () {
  const file = process.env[variable]
  return file === undefined ? false : { file }
}
