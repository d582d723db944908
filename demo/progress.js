const frameTime = 100

/** Shows how far the servers are: redrawn in place in a terminal, one line for each step elsewhere. */
export async function createProgress (titles) {
  const width = Math.max(...titles.map(title => title.length))
  const line = (title, what, counts) => `${title.padEnd(width)}  ${numbers(counts)}  ${what}`

  // A terminal of unknown width cannot be redrawn in place.
  if (!process.stdout.isTTY || !process.stdout.columns || process.env.CI) {
    return { step: (...step) => console.log(line(...step)), end () {} }
  }

  const { default: logUpdate } = await import('log-update')
  const steps = new Map(titles.map(title => [title, ['waiting', { requests: 0, lost: 0, answered503: 0 }]]))
  const draw = () => logUpdate([...steps].map(([title, step]) => line(title, ...step)).join('\n'))
  const timer = setInterval(draw, frameTime)
  draw()

  return {
    step: (title, what, counts) => steps.set(title, [what, counts]),
    end () {
      clearInterval(timer)
      draw()
      logUpdate.done()
    }
  }
}

function numbers ({ requests, lost, answered503 }) {
  const of = (count, what, width) => `${String(count).padStart(width)} ${what}`
  return [of(requests, 'requests', 6), of(lost, 'lost', 3), of(answered503, 'x 503', 3)].join('  ')
}
