/** Paths of PEM files. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
}
