import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import v8 from 'node:v8'
import vm from 'node:vm'

/**
 * What this process has of everything that could grow, after a garbage collection: memory in bytes, counts of descriptors
 * (those of connections apart), threads and environment variables.
 */
export function ownSample () {
  collect()
  const { rss, heapUsed, external } = process.memoryUsage()
  const states = socketStates()
  const descriptors = { connections: 0, others: 0 }
  for (const fd of readdirSync('/proc/self/fd')) {
    const inode = /^socket:\[(\d+)\]$/.exec(target(fd))?.[1]
    const state = inode === undefined ? undefined : states.get(inode)
    // TCP_LISTEN
    if (state !== undefined && state !== '0A') descriptors.connections++
    else descriptors.others++
  }
  return {
    rss,
    heap: heapUsed,
    external,
    descriptors: descriptors.others,
    connections: descriptors.connections,
    threads: Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]),
    // What a process adds to its environment, its title or its arguments its successor may inherit.
    environment: bytes(readFileSync('/proc/self/environ', 'utf8'), process.env, process.argv, process.execArgv, process.title)
  }
}

// A script cannot ask for it in any other way.
function collect () {
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  gc()
  gc()
}

/** States of the TCP sockets by inode, as the kernel writes them. */
function socketStates () {
  const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap(path => readFileSync(path, 'utf8').split('\n').slice(1))
  return new Map(lines.filter(Boolean).map(line => {
    const fields = line.trim().split(/\s+/)
    return [fields[9], fields[3]]
  }))
}

// The numbers of processes and descriptors have more digits or less.
function bytes (...parts) {
  return JSON.stringify(parts).replace(/\d+/g, '0').length
}

function target (fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}
