import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { load } from './machine.js'
import { runBench } from './run-bench.js'

const rest = 2000
const minute = 60_000
// A bench may take so many times as long as it should, and at least so long.
const patience = { times: 4, least: 10 * minute }

/**
 * Runs these parts one after the other. One that fails costs only itself.
 *
 * @param {Record<string, object>} parts
 * @param {object} options
 * @param {boolean} options.quick
 * @param {string} options.line the Node line of benches that can run any
 * @param {(text: string) => void} options.say
 * @param {string} [options.log]
 * @param {(name: string, result: object) => Promise<void>} options.onPart told of each part when it is over
 */
export async function runParts (parts, { quick, line, say, log, onPart }) {
  const names = Object.keys(parts)
  const expected = Object.fromEntries(names.map(name => [name, parts[name].minutes[quick ? 'quick' : 'full'] * minute]))
  const began = performance.now()
  const left = (from, share) => names.slice(from + 1).reduce((sum, name) => sum + expected[name], expected[names[from]] * (1 - share))

  for (const [i, name] of names.entries()) {
    const where = `${i + 1}/${names.length} ${name}`
    const status = share => `${time(performance.now() - began)} gone, about ${time(left(i, share))} to go`
    say(`\n${where}: ${parts[name].title} (${status(0)})`)
    await sleep(rest)
    const result = { began: new Date().toISOString(), load: load() }
    const start = performance.now()
    try {
      result.commands = []
      result.data = parts[name].condense(await runAll(parts[name], {
        quick, line, log, timeout: Math.max(patience.least, patience.times * expected[name]), onCommand: command => result.commands.push(command.join(' ')), onLine: (line, share) => say(`${where} (${status(share)}) ${line}`)
      }))
    } catch (error) {
      delete result.data
      result.error = error.message
      say(`${where} has failed: ${error.message}`)
    }
    result.seconds = Math.round((performance.now() - start) / 1000)
    await onPart(name, result)
  }
  say(`\nAll parts together: ${time(performance.now() - began)}`)
}

async function runAll ({ runs, typescript }, { quick, line, log, timeout, onCommand, onLine }) {
  const commands = Object.entries(runs(quick, line))
  const raw = {}
  for (const [i, [key, command]] of commands.entries()) {
    onCommand(command)
    raw[key] = await runBench(command, { typescript, timeout, log, onLine: (text, share) => onLine(text, (i + share) / commands.length) })
  }
  return raw
}

function time (ms) {
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} min`
}
