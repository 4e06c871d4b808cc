/** Names that a node may have. */

/** Also the value of the label kubernetes.io/hostname, which may not be longer. */
const CHARACTERS_MAX = 63;
const LABEL = '[a-z0-9]([a-z0-9-]*[a-z0-9])?';
const SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);

/** What a valid name looks like, for messages. */
export const NODE_NAME_RULE =
  '1 to 63 lower-case letters, digits, dashes and dots, each part beginning and ending with a letter or digit (RFC 1123)';

/** True for a name that the API takes for a Node. */
export const isNodeName = (name: string): boolean =>
  name.length <= CHARACTERS_MAX && SUBDOMAIN.test(name);
