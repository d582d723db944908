/** The server that all this is about. */
export const ours = 'fastify-drain'

const titles = { bare: 'Fastify alone', terminus: '@godaddy/terminus' }

/** How the page calls a server. */
export function nameOf (variant) {
  return titles[variant] ?? variant
}

/** Ours stands out. */
export function cellOf (variant) {
  return variant === ours ? `**${ours}**` : nameOf(variant)
}
