// The part of libsrtp 3's API that mediasoup calls, over the libsrtp 2 that Debian and Ubuntu package.
//
// What differs between the two:
//  - v3's policy is an opaque object filled by setters, v2's a plain struct;
//  - v3 writes protected packets into another buffer, v2 works in place;
//  - v3 has two error codes more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

// v3 uses the name of v2's policy struct for a pointer to its own policy.
#define srtp_policy_t srtp2_policy_t
#include <srtp2/srtp.h>
#undef srtp_policy_t

// Error codes of v3 that v2 never returns by itself; the numbers are v3's.
inline constexpr srtp_err_status_t srtp_err_status_buffer_small{ static_cast<srtp_err_status_t>(28) };
inline constexpr srtp_err_status_t srtp_err_status_cryptex_err{ static_cast<srtp_err_status_t>(29) };

struct srtp3_policy
{
	srtp2_policy_t policy{};
	// Master key followed by master salt, as v2 wants them.
	unsigned char key[SRTP_MAX_KEY_LEN]{};
};

using srtp_policy_t = srtp3_policy*;

inline srtp_err_status_t srtp_policy_create(srtp_policy_t* policy)
{
	*policy = new (std::nothrow) srtp3_policy();

	if (*policy == nullptr)
	{
		return srtp_err_status_alloc_fail;
	}

	(*policy)->policy.key = (*policy)->key;

	return srtp_err_status_ok;
}

inline void srtp_policy_destroy(srtp_policy_t policy)
{
	if (policy == nullptr)
	{
		return;
	}

	// Through a volatile pointer, so that the wiping of the key is not optimised away.
	volatile unsigned char* key = policy->key;

	for (size_t i{ 0 }; i < sizeof(policy->key); ++i)
	{
		key[i] = 0;
	}

	delete policy;
}

inline srtp_err_status_t srtp_policy_set_ssrc(srtp_policy_t policy, srtp_ssrc_t ssrc)
{
	policy->policy.ssrc = ssrc;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_profile(srtp_policy_t policy, srtp_profile_t profile)
{
	const srtp_err_status_t err =
	  srtp_crypto_policy_set_from_profile_for_rtp(&policy->policy.rtp, profile);

	if (err != srtp_err_status_ok)
	{
		return err;
	}

	return srtp_crypto_policy_set_from_profile_for_rtcp(&policy->policy.rtcp, profile);
}

// One key without an MKI, which is all that DTLS-SRTP and plain SRTP need.
inline srtp_err_status_t srtp_policy_add_key(
  srtp_policy_t policy,
  const uint8_t* key,
  size_t key_len,
  const uint8_t* salt,
  size_t salt_len,
  const uint8_t* mki,
  size_t mki_len)
{
	if (mki != nullptr || mki_len != 0 || key_len + salt_len > sizeof(policy->key))
	{
		return srtp_err_status_bad_param;
	}

	std::memcpy(policy->key, key, key_len);
	std::memcpy(policy->key + key_len, salt, salt_len);

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_allow_repeat_tx(srtp_policy_t policy, bool allow)
{
	policy->policy.allow_repeat_tx = allow ? 1 : 0;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_window_size(srtp_policy_t policy, size_t window_size)
{
	policy->policy.window_size = window_size;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_create(srtp_t* session, srtp_policy_t policy)
{
	return ::srtp_create(session, static_cast<const srtp2_policy_t*>(&policy->policy));
}

inline srtp_err_status_t srtp_stream_remove(srtp_t session, uint32_t ssrc)
{
	return srtp_remove_stream(session, ssrc);
}

namespace srtp3_detail
{
	// Copies the packet into the output, unless it is there already, and has v2 work on it in place.
	// `growth` is how much longer v2 may make it; `out_len` is the room in `out`, then the result's length.
	template<typename InPlace>
	srtp_err_status_t transform(
	  InPlace in_place, const uint8_t* in, size_t in_len, uint8_t* out, size_t* out_len, size_t growth)
	{
		if (in_len + growth > *out_len)
		{
			return srtp_err_status_buffer_small;
		}

		if (in != out)
		{
			std::memmove(out, in, in_len);
		}

		int len                     = static_cast<int>(in_len);
		const srtp_err_status_t err = in_place(out, &len);

		if (err == srtp_err_status_ok)
		{
			*out_len = static_cast<size_t>(len);
		}

		return err;
	}
} // namespace srtp3_detail

inline srtp_err_status_t srtp_protect(
  srtp_t ctx, const uint8_t* rtp, size_t rtp_len, uint8_t* srtp, size_t* srtp_len, size_t /*mki_index*/)
{
	return srtp3_detail::transform(
	  [ctx](void* packet, int* len) { return ::srtp_protect(ctx, packet, len); },
	  rtp,
	  rtp_len,
	  srtp,
	  srtp_len,
	  SRTP_MAX_TRAILER_LEN);
}

inline srtp_err_status_t srtp_unprotect(
  srtp_t ctx, const uint8_t* srtp, size_t srtp_len, uint8_t* rtp, size_t* rtp_len)
{
	return srtp3_detail::transform(
	  [ctx](void* packet, int* len) { return ::srtp_unprotect(ctx, packet, len); },
	  srtp,
	  srtp_len,
	  rtp,
	  rtp_len,
	  0);
}

inline srtp_err_status_t srtp_protect_rtcp(
  srtp_t ctx, const uint8_t* rtcp, size_t rtcp_len, uint8_t* srtcp, size_t* srtcp_len, size_t /*mki_index*/)
{
	return srtp3_detail::transform(
	  [ctx](void* packet, int* len) { return ::srtp_protect_rtcp(ctx, packet, len); },
	  rtcp,
	  rtcp_len,
	  srtcp,
	  srtcp_len,
	  SRTP_MAX_TRAILER_LEN);
}

inline srtp_err_status_t srtp_unprotect_rtcp(
  srtp_t ctx, const uint8_t* srtcp, size_t srtcp_len, uint8_t* rtcp, size_t* rtcp_len)
{
	return srtp3_detail::transform(
	  [ctx](void* packet, int* len) { return ::srtp_unprotect_rtcp(ctx, packet, len); },
	  srtcp,
	  srtcp_len,
	  rtcp,
	  rtcp_len,
	  0);
}
