/**
 * Returns random letters, digits, hyphens and underscores.
 *
 * @param length a multiple of 4. 8 characters are one of 2^48 ids, 12 are one of 2^72.
 */
export function randomId(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array((length / 4) * 3))
  return Buffer.from(bytes).toString('base64url')
}
