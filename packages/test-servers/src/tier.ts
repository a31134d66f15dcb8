/**
 * Whether the tests run in every configuration, as in `npm run test:full`. Otherwise, as in `npm test`, each promise is
 * proved once, in its most usual form.
 */
export const isFullTier: boolean = process.env.TEST_TIER === 'full'

type RequestGroup = 'read' | 'write' | 'batches'

/**
 * The groups of the conformance kit for a further configuration of a driver: all of them in the full tier. `npm test` runs
 * every group with the most usual configuration, and with others those that depend on how requests reach a server.
 */
export const variantGroups: readonly RequestGroup[] | undefined = isFullTier
  ? undefined
  : ['read', 'write', 'batches']
