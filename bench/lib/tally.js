const resets = new Set(['ECONNRESET', 'EPIPE'])

/** Counts what became of every request: the right answer, 503, or lost (no answer, or another one). */
export function createTally () {
  const counts = {
    requests: 0,
    ok: 0,
    answered503: 0,
    lost: 0,
    reset: 0,
    connections: 0,
    latencyMax: 0,
    statuses: {},
    errors: {},
    disconnects: {}
  }

  return {
    counts,

    answered (status, rightBody, latency) {
      counts.requests++
      counts.latencyMax = Math.max(counts.latencyMax, latency)
      count(counts.statuses, status)
      if (status === 503) counts.answered503++
      else if (status !== 200) lose(`status ${status}`)
      else if (rightBody) counts.ok++
      else lose('wrong body')
    },

    lost (error) {
      counts.requests++
      lose(codeOf(error))
    },

    connected () {
      counts.connections++
    },

    disconnected (error) {
      count(counts.disconnects, codeOf(error))
    }
  }

  function lose (code) {
    counts.lost++
    if (resets.has(code)) counts.reset++
    count(counts.errors, code)
  }
}

function count (where, key) {
  where[key] = (where[key] ?? 0) + 1
}

// undici wraps some socket errors: what the kernel said is then the cause.
function codeOf (error) {
  if (resets.has(error?.cause?.code)) return error.cause.code
  return error?.code ?? error?.message ?? 'unknown'
}
