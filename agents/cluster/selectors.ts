/** Plain label maps as selectors, the form that Services use. Pure. */

type Labels = Readonly<Record<string, string>>;

/** True when `labels` has every pair of `selector`; an empty selector matches everything. */
export function matchesLabels(selector: Labels, labels: Labels | undefined): boolean {
  return Object.entries(selector).every(([key, value]) => labels?.[key] === value);
}
