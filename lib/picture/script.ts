/**
 * All that needs a script: a click on a bar, or the arrow keys, show what the bar says. Nothing in it comes from outside.
 */
export const script = `
const details = document.getElementById('details')
for (const [chart, svg] of document.querySelectorAll('.items').entries()) {
  const items = [...svg.querySelectorAll('.item')]
  const text = item => item.querySelector('title').textContent
  let at = -1
  const choose = next => {
    document.querySelector('.chosen')?.setAttribute('aria-selected', 'false')
    document.querySelector('.chosen')?.classList.remove('chosen')
    at = next
    items[at].classList.add('chosen')
    items[at].setAttribute('aria-selected', 'true')
    svg.setAttribute('aria-activedescendant', items[at].id)
    details.textContent = text(items[at])
  }
  const isShown = ({ dataset: { outcome } }) => !outcome || document.querySelector(':is([value=all], [value=' + outcome + ']):checked') !== null
  // From there on, the next one that is not filtered out.
  const chooseFrom = (next, step) => {
    while (next in items && !isShown(items[next])) next += step
    if (!(next in items)) return
    choose(next)
    items[next].scrollIntoView({ block: 'nearest' })
  }
  const keys = {
    ArrowDown: () => chooseFrom(at + 1, 1),
    ArrowRight: () => chooseFrom(at + 1, 1),
    ArrowUp: () => chooseFrom(at - 1, -1),
    ArrowLeft: () => chooseFrom(at - 1, -1),
    Home: () => chooseFrom(0, 1),
    End: () => chooseFrom(items.length - 1, -1)
  }
  svg.setAttribute('role', 'listbox')
  svg.setAttribute('tabindex', '0')
  svg.addEventListener('keydown', event => {
    if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.altKey || event.metaKey) return
    event.preventDefault()
    keys[event.key]()
  })
  for (const [i, item] of items.entries()) {
    item.id = 'item-' + chart + '-' + i
    item.setAttribute('role', 'option')
    item.setAttribute('aria-selected', 'false')
    item.setAttribute('aria-label', text(item))
    item.addEventListener('click', () => choose(i))
  }
}
`
