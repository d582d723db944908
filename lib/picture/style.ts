import { outcomes, states, type OpenState } from './states.ts'

/** Colours by Okabe and Ito, which people with any kind of colour vision can tell apart. */
export const colours: Record<OpenState, string> = {
  active: '#e69f00', idle: '#56b4e9', new: '#0072b2', upgraded: '#cc79a7', lingering: '#009e73'
}
export const alarm = '#d55e00'

const chosen = (outcome: string): string => `:root:has(input[value=${outcome}]:checked)`

/** The look of the page; nothing in it comes from outside. */
export const style = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --faint: #5c5c5c; --line: #ddd; --phase: #eceff2; --phase2: #d5dce3; --close: #6b7785; --hover: #00000012 }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #ececec; --faint: #a8b0b8; --line: #343a41; --phase: #262c33; --phase2: #38414b; --close: #93a1b0; --hover: #ffffff1c } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.5rem 3rem; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.35rem; margin: 0 0 .6rem } h2 { font-size: 1rem; margin: 1.4rem 0 .4rem }
svg { display: block; width: 100%; height: auto; overflow: visible } svg + svg { margin-top: 1.2rem }
svg text { fill: var(--faint); font-size: 11px; text-anchor: middle } svg .label { text-anchor: end }
.axis path { stroke: var(--line); stroke-width: 1; fill: none }
.figures { display: flex; flex-wrap: wrap; gap: .4rem 1.8rem; margin: 0 0 .8rem } .figures dt { color: var(--faint); font-size: .8rem } .figures dd { margin: 0; font-weight: 600; overflow-wrap: anywhere }
.outcomes { border: 1px solid var(--line); border-radius: 6px; margin: 0; padding: .2rem .8rem .4rem; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem } .outcomes label { cursor: pointer } .outcomes legend { color: var(--faint); font-size: .8rem; padding: 0 .3rem }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; padding: 0; list-style: none; font-size: .85rem } .legend svg { display: inline-block; width: 14px; height: 12px; margin-right: .35rem }
.phase rect { fill: var(--phase); stroke: var(--line) } .phase.draining rect { fill: var(--phase2) } .phase.aborting rect { fill: ${alarm} } .phase text { fill: var(--ink) } .phase.aborting text { fill: #000 }
.item path { fill: none } .item .label { font-size: 10.5px } .hit { fill: transparent } .item { cursor: pointer } .item:hover .hit, .item.chosen .hit { fill: var(--hover) } .item.chosen .hit { stroke: var(--ink); stroke-width: 1 }
${states.map(state => `path.${state} { stroke: ${colours[state]} } path.area.${state} { fill: ${colours[state]}; stroke: none } .legend .${state} { fill: ${colours[state]} }`).join('\n')}
.mark { stroke: ${alarm}; stroke-width: 3 } .close { fill: var(--close) } .close.cut, .close.timed-out, .close.peer-lost { fill: ${alarm} } .close:hover { fill: var(--ink) }
.items:focus-visible, .scroll:focus-visible, input:focus-visible, summary:focus-visible { outline: 2px solid ${colours.idle}; outline-offset: 2px }
#details { position: sticky; bottom: 0; margin: .6rem 0; padding: .5rem .8rem; background: var(--phase); border: 1px solid var(--line); border-radius: 6px; overflow-wrap: anywhere } #details:empty { display: none }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem } th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere } thead th { color: var(--faint); font-weight: 500 } tbody th { font-weight: 500 }
details { margin: .5rem 0; font-size: .85rem } summary { cursor: pointer; color: var(--faint) } p { color: var(--faint); font-size: .85rem } a { color: inherit }
${outcomes.map(outcome => `${chosen(outcome)} :is(.item, .close)[data-outcome]:not([data-outcome=${outcome}]) { opacity: .12 } ${chosen(outcome)} :is(tr, li)[data-outcome]:not([data-outcome=${outcome}]) { display: none }`).join('\n')}
@media print { #details { display: none } }
`
