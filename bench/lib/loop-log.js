import { writeFileSync } from 'node:fs'

import { now } from './now.js'

/**
 * Looks at this process about once a millisecond from now on, between two turns of its event loop: what time it is, how much processor time
 * it has had, and how many connections its server has. All of it is in `file` when the process has ended by itself.
 *
 * The wait is a timer's, the look an immediate's: timers can run several times in one turn, immediates cannot. A loop that never waits would
 * take a processor away from the clients.
 */
export function logLoop (server, file) {
  const looks = []
  let connections = null
  const remember = (_error, count) => { connections = count }
  look()
  process.once('exit', () => {
    note()
    writeFileSync(file, JSON.stringify(looks))
  })

  function look () {
    note()
    setTimeout(setImmediate, 1, look).unref()
  }

  function note () {
    // Answers in this turn, behind this function.
    server.getConnections(remember)
    const { user, system } = process.cpuUsage()
    looks.push([now(), (user + system) / 1000, connections])
  }
}

/** The longest time between two looks from `start` on, and the most processor time, in ms. */
export function longestTurn (looks, start) {
  const longest = { wall: 0, cpu: 0 }
  for (let i = 1; i < looks.length; i++) {
    const [time, cpu] = looks[i]
    const [lastTime, lastCpu] = looks[i - 1]
    if (time < start) continue
    longest.wall = Math.max(longest.wall, time - lastTime)
    longest.cpu = Math.max(longest.cpu, cpu - lastCpu)
  }
  return longest
}

/** From `start` until no connection is left: time and processor time, in ms. */
export function closing (looks, start) {
  const first = looks.findLast(([time]) => time <= start) ?? looks[0]
  const last = looks.find(([time, , connections]) => time > start && connections === 0) ?? looks.at(-1)
  return { wall: last[0] - start, cpu: last[1] - first[1] }
}
