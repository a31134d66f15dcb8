/**
 * Mutants that no test can notice, because they change nothing that the documentation promises.
 * @type {{ file: string, operator: string, from: string, to?: string, reason: string }[]}
 */
export const equivalents = []
