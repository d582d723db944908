const frameTime = 100

/**
 * Shows how far the servers are: redrawn in place in a terminal, one line for each step elsewhere. `numbers` puts what
 * is known of a server into words.
 */
export async function createProgress (titles, numbers) {
  const width = Math.max(...titles.map(title => title.length))
  const line = (title, what, counts) => `${title.padEnd(width)}  ${numbers(counts)}  ${what}`

  // A terminal of unknown width cannot be redrawn in place.
  if (!process.stdout.isTTY || !process.stdout.columns || process.env.CI) {
    return { step: (...step) => console.log(line(...step)), end () {} }
  }

  const { default: logUpdate } = await import('log-update')
  const steps = new Map(titles.map(title => [title, ['waiting', {}]]))
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
